//! What a mistake with an attribute says.

#[test]
fn each_mistake_says_what_to_write() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
