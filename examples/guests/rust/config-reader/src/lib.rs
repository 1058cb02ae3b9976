//! Reads its configuration through every name that `wasi:config` goes by.

wit_bindgen::generate!({
    path: ["../../../../runner-host-config/wit/config", "../../wit/demo-config-reader"],
    world: "demo:config-reader/config-reader",
    generate_all,
});

use wasi::config0_2_0_draft::{runtime, store as store_draft};
use wasi::config0_2_0_rc_1::store;

struct Reader;

export!(Reader);

impl Guest for Reader {
    fn read(face: Face, key: String) -> Result<Option<String>, String> {
        match face {
            Face::Store => store::get(&key).map_err(|error| error.to_string()),
            Face::StoreDraft => store_draft::get(&key).map_err(|error| error.to_string()),
            Face::RuntimeDraft => runtime::get(&key).map_err(|error| error.to_string()),
        }
    }

    fn read_all(face: Face) -> Result<Vec<(String, String)>, String> {
        match face {
            Face::Store => store::get_all().map_err(|error| error.to_string()),
            Face::StoreDraft => store_draft::get_all().map_err(|error| error.to_string()),
            Face::RuntimeDraft => runtime::get_all().map_err(|error| error.to_string()),
        }
    }
}
