//! A module as large as a real program compiled to wasm, about 2.6 MB of code and tables.
//!
//! It proves what size costs: compiling, loading from the cache, and a fresh instance for a
//! call as cheap as `add`. `render` runs through all the libraries, so that the linker keeps
//! them: markdown, templates, Unicode regexes, JSON and PNG.

use pulldown_cmark::{Options, Parser, html};
use regex::Regex;
use serde_json::{Value, json};
use std::io::Cursor;

#[unsafe(no_mangle)]
pub extern "C" fn add(a: i32, b: i32) -> i32 {
    a.wrapping_add(b)
}

/// Renders a document of n sections with a picture; a checksum of all bytes that came out.
#[unsafe(no_mangle)]
pub extern "C" fn render(n: u32) -> i32 {
    let page = page(n);
    let checksum = |sum: i32, byte: u8| sum.wrapping_mul(31).wrapping_add(byte.into());
    let sum = page.bytes().fold(0, checksum);
    picture(n).into_iter().fold(sum, checksum)
}

fn page(n: u32) -> String {
    let heading = Regex::new(r"(?i)\b(\p{Lu}\p{L}+)\s+(\p{Nd}+)\b").expect("well formed");
    let text: String = (0..n).map(|i| format!("## Überschrift {i}\n\n*Größe* {i}\n\n- a\n- b\n\n")).collect();
    let text = heading.replace_all(&text, "$2. $1");
    let mut body = String::new();
    html::push_html(&mut body, Parser::new_ext(&text, Options::all()));
    let mut templates = minijinja::Environment::new();
    templates.add_template("page", TEMPLATE).expect("the template is well formed");
    let context: Value = json!({ "author": { "name": "Ada" }, "body": body, "sections": n });
    let page = templates.get_template("page").and_then(|t| t.render(&context));
    let page = page.expect("the template has all it names");
    let back: Value = serde_json::from_str(&json!({ "page": page }).to_string()).expect("own JSON");
    back["page"].as_str().unwrap_or_default().to_owned()
}

/// The bytes of a PNG picture, after it was read again and found the same.
fn picture(n: u32) -> Vec<u8> {
    let side = n.clamp(1, 256);
    let pixels: Vec<u8> = (0..side * side).map(|i| ((i % side) ^ (i / side)) as u8).collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().expect("a vector takes everything");
    writer.write_image_data(&pixels).expect("as many pixels as the header says");
    writer.finish().expect("a vector takes everything");

    let decoder = png::Decoder::new(Cursor::new(&file));
    let mut reader = decoder.read_info().expect("it was just written");
    let mut back = vec![0; pixels.len()];
    reader.next_frame(&mut back).expect("it was just written");
    assert_eq!(pixels, back, "what was read is not what was written");
    file
}

const TEMPLATE: &str = "<h1>A page</h1>\
    {% for i in range(sections) %}<a>{{ loop.index }}: {{ i * 2 }}</a>{% endfor %}\
    <main>{{ body|safe }}</main><footer>{{ author.name|upper }}</footer>";
