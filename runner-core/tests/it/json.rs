//! JSON and WIT at their edges, through a guest that gives back what it was given.

use runner_core::{Ending, ErrorKind, Failure, Grants, Program};
use serde_json::{Value, json};

use crate::support::{program, shared};

/// The functions at the top level, and those inside an interface.
const PREFIXES: [&str; 2] = ["echo-", "demo:types/values@1.0.0#echo-"];

async fn ending(program: &Program, function: String, value: &Value) -> runner_core::Result<Ending> {
    Ok(program.call(function).args(json!([value])).run().await?.ending)
}

/// What goes in, and what comes out.
async fn check(cases: &[(&str, Value, Value)]) {
    let types = program("types.wasm").await;
    for (ty, given, expected) in cases {
        for prefix in PREFIXES {
            let found = ending(&types, format!("{prefix}{ty}"), given).await;
            let found = found.unwrap_or_else(|error| panic!("{ty} {given}: {error}"));
            assert_eq!(found, Ending::Returned(expected.clone()), "{ty} {given}");
            // `==` on floats holds 0 and -0 for the same.
            let Ending::Returned(found) = found else { continue };
            assert_eq!(found.to_string(), expected.to_string(), "{ty} {given}");
        }
    }
}

/// What goes in, and why it is refused.
async fn check_refused(cases: &[(&str, Value, &str)]) {
    let types = program("types.wasm").await;
    for (ty, given, words) in cases {
        for prefix in PREFIXES {
            match ending(&types, format!("{prefix}{ty}"), given).await {
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Invalid, "{ty} {given}: {error}");
                    assert_eq!(error.message(), format!("argument `{words}"), "{ty} {given}");
                }
                Ok(ending) => panic!("{ty} {given}: {ending:?}"),
            }
        }
    }
}

#[tokio::test]
async fn integers_come_as_numbers_and_as_digits() {
    check(&[
        ("u8", json!(0), json!(0)),
        ("u8", json!("255"), json!(255)),
        ("u8", json!(3.0), json!(3)),
        ("s8", json!("-128"), json!(-128)),
        ("s32", json!(-0.0), json!(0)),
        ("s64", json!(i64::MAX), json!("9223372036854775807")),
        ("s64", json!("-5"), json!(-5)),
        ("s64", json!("9007199254740991"), json!(9_007_199_254_740_991_i64)),
        ("s64", json!(-9_007_199_254_740_991_i64), json!(-9_007_199_254_740_991_i64)),
        ("s64", json!(-9_007_199_254_740_992_i64), json!("-9007199254740992")),
        ("s64", json!(9_007_199_254_740_991.0), json!(9_007_199_254_740_991_i64)),
        ("u64", json!(u64::MAX), json!("18446744073709551615")),
        ("u64", json!("0"), json!(0)),
    ])
    .await;
    let u8_range = "v`: expected an integer between 0 and 255, found";
    let s64_range = "v`: expected an integer between -9223372036854775808 and 9223372036854775807, found";
    let u64_range = "v`: expected an integer between 0 and 18446744073709551615, found";
    check_refused(&[
        ("u8", json!(256), &format!("{u8_range} `256`")),
        ("u8", json!(-1), &format!("{u8_range} `-1`")),
        ("u8", json!(1.5), &format!("{u8_range} `1.5`")),
        ("u8", json!("1.0"), &format!("{u8_range} `\"1.0\"`")),
        ("u8", json!("+1"), &format!("{u8_range} `\"+1\"`")),
        ("u8", json!(" 1"), &format!("{u8_range} `\" 1\"`")),
        ("u8", json!("0x1"), &format!("{u8_range} `\"0x1\"`")),
        ("u8", json!(""), &format!("{u8_range} `\"\"`")),
        ("u8", json!(true), &format!("{u8_range} `true`")),
        ("u8", json!(null), &format!("{u8_range} `null`")),
        ("u8", json!([1]), &format!("{u8_range} an array of 1 items")),
        ("s8", json!(128), "v`: expected an integer between -128 and 127, found `128`"),
        ("s8", json!(-129), "v`: expected an integer between -128 and 127, found `-129`"),
        ("s16", json!(32_768), "v`: expected an integer between -32768 and 32767, found `32768`"),
        ("u16", json!(65_536), "v`: expected an integer between 0 and 65535, found `65536`"),
        (
            "s32",
            json!(2_147_483_648_u32),
            "v`: expected an integer between -2147483648 and 2147483647, found `2147483648`",
        ),
        ("u32", json!(4_294_967_296_u64), "v`: expected an integer between 0 and 4294967295, found `4294967296`"),
        ("s64", json!(u64::MAX), &format!("{s64_range} `18446744073709551615`")),
        ("s64", json!("9223372036854775808"), &format!("{s64_range} `\"9223372036854775808\"`")),
        // As a float it has lost digits that nobody can give back.
        ("s64", json!(1e17), &format!("{s64_range} `1e+17`")),
        ("u64", json!("18446744073709551616"), &format!("{u64_range} `\"18446744073709551616\"`")),
        ("u64", json!(-1), &format!("{u64_range} `-1`")),
        ("u64", json!("1".repeat(100)), &format!("{u64_range} a string of 100 characters")),
    ])
    .await;
}

#[tokio::test]
async fn floats_are_numbers_and_three_words() {
    check(&[
        ("f64", json!("NaN"), json!("NaN")),
        ("f64", json!("Infinity"), json!("Infinity")),
        ("f64", json!("-Infinity"), json!("-Infinity")),
        ("f32", json!("NaN"), json!("NaN")),
        ("f32", json!("Infinity"), json!("Infinity")),
        ("f32", json!("-Infinity"), json!("-Infinity")),
        ("f64", json!(-0.0), json!(-0.0)),
        ("f32", json!(-0.0), json!(-0.0)),
        ("f64", json!(5), json!(5.0)),
        ("f64", json!(5e-324), json!(5e-324)),
        ("f64", json!(f64::MAX), json!(f64::MAX)),
        ("f32", json!(1.1), json!(1.1)),
        // What single precision does not hold is rounded, as the guest itself would.
        ("f32", json!(16_777_217), json!(16_777_216.0)),
        ("f32", json!(1e-60), json!(0.0)),
    ])
    .await;
    let words = "\"NaN\", \"Infinity\" or \"-Infinity\", found";
    check_refused(&[
        ("f64", json!("1.5"), &format!("v`: expected a number up to 1.7976931348623157e308, {words} `\"1.5\"`")),
        ("f64", json!("nan"), &format!("v`: expected a number up to 1.7976931348623157e308, {words} `\"nan\"`")),
        ("f64", json!(null), &format!("v`: expected a number up to 1.7976931348623157e308, {words} `null`")),
        ("f32", json!(1e39), &format!("v`: expected a number up to 3.4028234663852886e38, {words} `1e+39`")),
        ("f32", json!(-1e39), &format!("v`: expected a number up to 3.4028234663852886e38, {words} `-1e+39`")),
    ])
    .await;
}

#[tokio::test]
async fn texts_and_characters_keep_every_character() {
    check(&[
        ("char", json!("\u{10ffff}"), json!("\u{10ffff}")),
        ("char", json!("\0"), json!("\0")),
        ("char", json!("\u{1F980}"), json!("\u{1F980}")),
        ("string", json!(""), json!("")),
        (
            "string",
            json!("a\0b\u{2028}\u{feff}e\u{301} \u{1F980} \"\\"),
            json!("a\0b\u{2028}\u{feff}e\u{301} \u{1F980} \"\\"),
        ),
        ("strings", json!([]), json!([])),
        ("lists", json!([[], ["ü", ""], []]), json!([[], ["ü", ""], []])),
    ])
    .await;
    let one = "v`: expected a string of one character, found";
    check_refused(&[
        ("char", json!(""), &format!("{one} `\"\"`")),
        ("char", json!("ab"), &format!("{one} `\"ab\"`")),
        // One sign on the screen, two characters.
        ("char", json!("e\u{301}"), &format!("{one} `\"e\u{301}\"`")),
        ("char", json!(97), &format!("{one} `97`")),
        ("string", json!(1), "v`: expected a string, found `1`"),
        ("string", json!(null), "v`: expected a string, found `null`"),
        ("strings", json!("a"), "v`: expected an array, found `\"a\"`"),
        ("strings", json!(["a", 1]), "v[1]`: expected a string, found `1`"),
        ("lists", json!([["a"], ["b", null]]), "v[1][1]`: expected a string, found `null`"),
        ("bool", json!(1), "v`: expected true or false, found `1`"),
        ("bool", json!("true"), "v`: expected true or false, found `\"true\"`"),
    ])
    .await;
}

#[tokio::test]
async fn bytes_come_as_base64_and_as_numbers() {
    let bytes = |text: &str| json!({ "base64": text });
    check(&[
        ("bytes", json!([]), bytes("")),
        ("bytes", bytes(""), bytes("")),
        ("bytes", bytes("AA=="), bytes("AA==")),
        ("bytes", json!([255]), bytes("/w==")),
        ("bytes", json!([0, "1", 2.0]), bytes("AAEC")),
        // Other numbers are no bytes.
        ("numbers", json!([0, 1]), json!([0, 1])),
    ])
    .await;
    let object = "v`: expected {\"base64\": \"..\"} or an array of bytes, found";
    let undecodable = "v`: `base64` does not decode";
    check_refused(&[
        ("bytes", json!("AAEC"), "v`: expected an array, found `\"AAEC\"`"),
        ("bytes", json!([256]), "v[0]`: expected an integer between 0 and 255, found `256`"),
        // Padding ends a text, wherever the parts of a long one begin and end.
        ("bytes", bytes("QQ==QQ=="), undecodable),
        ("bytes", bytes(&format!("{}QQ==QUJD", "QUJD".repeat(1_000))), undecodable),
        ("bytes", json!({ "base64": 1 }), &format!("{object} `{{\"base64\":1}}`")),
        ("bytes", json!({ "base64": "", "x": 1 }), &format!("{object} `{{\"base64\":\"\",\"x\":1}}`")),
        ("bytes", json!({}), &format!("{object} `{{}}`")),
        // Without padding, with what other alphabets have, with white space, and with bits that are thrown away.
        ("bytes", bytes("AA"), undecodable),
        ("bytes", bytes("AA="), undecodable),
        ("bytes", bytes("_w=="), undecodable),
        ("bytes", bytes("AA ="), undecodable),
        ("bytes", bytes("AB=="), undecodable),
        ("bytes", bytes("AA==AA=="), undecodable),
        ("numbers", bytes("AA=="), "v`: expected an array, found `{\"base64\":\"AA==\"}`"),
    ])
    .await;
}

#[tokio::test]
async fn options_tell_none_from_some_none() {
    check(&[
        ("option", json!(""), json!("")),
        ("option-option", json!({ "some": 0 }), json!({ "some": 0 })),
        ("option-option-option", json!(null), json!(null)),
        ("option-option-option", json!({ "some": null }), json!({ "some": null })),
        ("option-option-option", json!({ "some": { "some": false } }), json!({ "some": { "some": false } })),
    ])
    .await;
    let some = "expected null or {\"some\": ..}, found";
    check_refused(&[
        ("option", json!({ "some": "x" }), "v`: expected a string, found `{\"some\":\"x\"}`"),
        ("option-option", json!(7), &format!("v`: {some} `7`")),
        ("option-option", json!({}), &format!("v`: {some} `{{}}`")),
        ("option-option", json!({ "none": 1 }), &format!("v`: {some} `{{\"none\":1}}`")),
        ("option-option", json!({ "some": 7, "x": 1 }), &format!("v`: {some} `{{\"some\":7,\"x\":1}}`")),
        ("option-option", json!({ "some": -1 }), "v.some`: expected an integer between 0 and 4294967295, found `-1`"),
        ("option-option-option", json!({ "some": true }), &format!("v.some`: {some} `true`")),
    ])
    .await;
}

#[tokio::test]
async fn records_and_tuples_are_complete() {
    let person = |change: fn(&mut serde_json::Map<String, Value>)| {
        let mut person = json!({ "name": "Ada", "age": 36, "home": { "x": 1, "y": 2 }, "tags": [], "nickname": "A" });
        change(person.as_object_mut().expect("an object"));
        person
    };
    check(&[
        ("person", person(|_| {}), person(|_| {})),
        ("people", json!([person(|_| {}), person(|_| {})]), json!([person(|_| {}), person(|_| {})])),
        ("tuple", json!([false, "9223372036854775807", ""]), json!([false, "9223372036854775807", ""])),
    ])
    .await;
    let without = |name: &'static str| {
        let mut person = person(|_| {});
        person.as_object_mut().expect("an object").remove(name);
        person
    };
    let triple = "v`: expected an array of 3 items, found";
    check_refused(&[
        ("person", without("age"), "v`: field `age` (u8) is missing"),
        ("person", without("home"), "v`: field `home` (record { x: s32, y: s32 }) is missing"),
        (
            "person",
            person(|it| drop(it.insert("Age".to_owned(), json!(1)))),
            "v`: field `Age` is unknown, the fields are `name`, `age`, `home`, `tags`, `nickname`",
        ),
        ("person", person(|it| it["home"] = json!({ "x": 1 })), "v.home`: field `y` (s32) is missing"),
        ("person", person(|it| it["home"] = json!([1, 2])), "v.home`: expected an object, found an array of 2 items"),
        ("people", json!([person(|it| it["tags"] = json!([1]))]), "v[0].tags[0]`: expected a string, found `1`"),
        ("point", json!(null), "v`: expected an object, found `null`"),
        ("tuple", json!([true, 1]), &format!("{triple} an array of 2 items")),
        ("tuple", json!([true, 1, "", 1]), &format!("{triple} an array of 4 items")),
        ("tuple", json!({ "0": true }), &format!("{triple} `{{\"0\":true}}`")),
        ("tuple", json!([1, 1, ""]), "v[0]`: expected true or false, found `1`"),
    ])
    .await;
}

#[tokio::test]
async fn cases_are_named_exactly() {
    check(&[
        ("shape", json!({ "nothing": null }), json!("nothing")),
        ("shape", json!({ "circle": "NaN" }), json!({ "circle": "NaN" })),
        ("signal", json!("go"), json!("go")),
        ("color", json!("red"), json!("red")),
        ("permissions", json!([]), json!([])),
        // In the order of their declaration, whatever order they came in.
        ("permissions", json!(["run-it", "read"]), json!(["read", "run-it"])),
        (
            "bits",
            json!((0..32).map(|n| format!("b{n}")).collect::<Vec<_>>()),
            json!((0..32).map(|n| format!("b{n}")).collect::<Vec<_>>()),
        ),
    ])
    .await;
    let cases = "expected one of the cases `nothing`, `circle`, `rectangle`, `at`, `label`, found";
    let either = "v`: expected \"case\" or {\"case\": ..}, found";
    let colors = "v`: expected one of `red`, `green`, `dark-blue`, found";
    check_refused(&[
        ("shape", json!("circle"), "v`: expected {\"circle\": f64}, the case has a value, found `\"circle\"`"),
        ("shape", json!({ "nothing": 1 }), "v`: expected \"nothing\", the case has no value, found `{\"nothing\":1}`"),
        ("shape", json!("Nothing"), &format!("v`: {cases} `\"Nothing\"`")),
        ("shape", json!({ "square": 1 }), &format!("v`: {cases} `{{\"square\":1}}`")),
        ("shape", json!({ "circle": 1, "label": "x" }), &format!("{either} `{{\"circle\":1,\"label\":\"x\"}}`")),
        ("shape", json!({}), &format!("{either} `{{}}`")),
        ("shape", json!(1), &format!("{either} `1`")),
        ("shape", json!({ "rectangle": [1] }), "v.rectangle`: expected an array of 2 items, found an array of 1 items"),
        (
            "shape",
            json!({ "at": { "x": 1, "y": "a" } }),
            "v.at.y`: expected an integer between -2147483648 and 2147483647, found `\"a\"`",
        ),
        ("color", json!("Red"), &format!("{colors} `\"Red\"`")),
        ("color", json!("dark_blue"), &format!("{colors} `\"dark_blue\"`")),
        ("color", json!(0), &format!("{colors} `0`")),
        ("permissions", json!(["reed"]), "v[0]`: expected one of `read`, `write`, `run-it`, found `\"reed\"`"),
        ("permissions", json!("read"), "v`: expected an array, found `\"read\"`"),
        ("permissions", json!({ "read": true }), "v`: expected an array, found `{\"read\":true}`"),
    ])
    .await;
}

#[tokio::test]
async fn results_inside_values_name_their_side() {
    let attempts = |both: Value, neither: Value| json!({ "both": both, "only-ok": { "err": null }, "only-err": { "ok": null }, "neither": neither });
    let whole = attempts(json!({ "ok": 7 }), json!({ "err": null }));
    check(&[("attempts", whole.clone(), whole), ("results", json!([]), json!([]))]).await;
    let side = "expected {\"ok\": ..} or {\"err\": ..}, found";
    check_refused(&[
        ("results", json!([7]), &format!("v[0]`: {side} `7`")),
        ("results", json!(["ok"]), &format!("v[0]`: {side} `\"ok\"`")),
        ("results", json!([{}]), &format!("v[0]`: {side} `{{}}`")),
        ("results", json!([{ "err": "x", "ok": 1 }]), &format!("v[0]`: {side} `{{\"err\":\"x\",\"ok\":1}}`")),
        ("results", json!([{ "Ok": 1 }]), &format!("v[0]`: {side} `{{\"Ok\":1}}`")),
        ("results", json!([{ "ok": "x" }]), "v[0].ok`: expected an integer between 0 and 4294967295, found `\"x\"`"),
        (
            "attempts",
            attempts(json!({ "ok": 7 }), json!({ "ok": 1 })),
            "v.neither.ok`: expected null, this side has no value, found `1`",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_result_at_the_top_is_the_value_or_the_failure() {
    let types = program("types.wasm").await;
    let failure = |message: &str, value: Option<Value>| {
        let (code, message) = ("error".into(), message.into());
        Ending::Failed(Box::new(Failure { code, message, retryable: false, exit_code: None, value }))
    };
    for (ty, given, expected) in [
        ("result", json!({ "ok": 7 }), Ending::Returned(json!(7))),
        ("result", json!({ "err": "no" }), failure("no", Some(json!("no")))),
        ("result-ok", json!({ "ok": "yes" }), Ending::Returned(json!("yes"))),
        ("result-ok", json!({ "err": null }), failure("the guest failed without saying why", None)),
        ("result-err", json!({ "ok": null }), Ending::Returned(json!(null))),
        ("result-empty", json!({ "ok": null }), Ending::Returned(json!(null))),
        ("result-empty", json!({ "err": null }), failure("the guest failed without saying why", None)),
    ] {
        for prefix in PREFIXES {
            let found = ending(&types, format!("{prefix}{ty}"), &given).await.expect("it runs");
            assert_eq!(found, expected, "{ty} {given}");
        }
    }
}

#[tokio::test]
async fn what_comes_out_goes_in_again() {
    let types = program("types.wasm").await;
    for (ty, given) in [
        ("f32", json!(f32::MIN_POSITIVE)),
        ("f32", json!(f32::MAX)),
        ("f64", json!(f64::MAX)),
        ("f64", json!("NaN")),
        ("s64", json!(i64::MIN)),
        ("u64", json!(u64::MAX)),
        ("bytes", json!([0, 255])),
        ("permissions", json!(["write", "read"])),
        ("option-option-option", json!({ "some": null })),
    ] {
        let once = ending(&types, format!("echo-{ty}"), &given).await.expect("it fits");
        let Ending::Returned(value) = &once else { panic!("{ty} {given}: {once:?}") };
        let twice = ending(&types, format!("echo-{ty}"), value).await;
        assert_eq!(twice.unwrap_or_else(|error| panic!("{ty} {value}: {error}")), once, "{ty}");
    }
}

#[tokio::test]
async fn a_type_without_parts_does_not_load() {
    for ty in ["record", "flags", "enum", "variant", "tuple"] {
        let component = format!("(component (type $t ({ty})) (export \"t\" (type $t)))");
        let error = shared().load(component.as_bytes(), &Grants::none()).await.expect_err(ty);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

#[tokio::test]
async fn an_enum_s_case_is_the_failure_s_code() {
    let types = program("types.wasm").await;
    let found = ending(&types, "echo-result-err".to_owned(), &json!({ "err": "green" })).await.expect("it runs");
    let Ending::Failed(failure) = found else { panic!("{found:?}") };
    assert_eq!((failure.code.as_str(), failure.value), ("green", Some(json!("green"))));
}

#[tokio::test]
async fn a_flag_that_is_named_twice_is_refused() {
    let types = program("types.wasm").await;
    let error =
        ending(&types, "echo-permissions".to_owned(), &json!(["read", "write", "read"])).await.expect_err("refused");
    assert!(error.to_string().contains("v[2]`: expected each flag once, found `\"read\"`"), "{error}");
}

#[tokio::test]
async fn a_record_s_fields_come_in_their_declared_order() {
    let types = program("types.wasm").await;
    let home = json!({ "y": 2, "x": 1 });
    let person = json!({ "tags": [], "name": "Ada", "home": home, "age": 36 });
    let Ending::Returned(found) = ending(&types, "echo-person".to_owned(), &person).await.expect("it runs") else {
        panic!("it gives it back");
    };
    let names = |value: &Value| value.as_object().expect("a record").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), ["name", "age", "home", "tags", "nickname"]);
    assert_eq!(names(&found["home"]), ["x", "y"]);
}
