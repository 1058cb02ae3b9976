//! The catalog holds what it promises: wasm, names, titles.

#[test]
fn every_guest_is_wasm_that_keeps_the_names_of_its_functions() {
    for guest in runner_guests::all() {
        assert!(guest.bytes.starts_with(b"\0asm"), "{guest:?}");
        let names = b"\x04name";
        assert!(guest.bytes.windows(names.len()).any(|it| it == names), "{guest:?}");
        assert_eq!(guest.bytes, runner_guests::get(guest.name), "{guest:?}");
    }
}

#[test]
fn the_big_guest_is_big() {
    let size = runner_guests::get("big.wasm").len();
    assert!((2_300_000..2_900_000).contains(&size), "{size}");
}

#[test]
fn every_text_says_what_it_is() {
    for text in runner_guests::texts() {
        assert!(!text.title.is_empty() && text.about.ends_with('.'), "{text:?}");
        assert_eq!(text.text, runner_guests::wat(text.file), "{text:?}");
    }
}

#[test]
#[should_panic = "no guest is named `absent.wasm`"]
fn an_unknown_name_is_answered_with_the_known_ones() {
    runner_guests::get("absent.wasm");
}
