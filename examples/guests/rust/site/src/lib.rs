//! A guestbook: a page that shows the last entries, a form that adds one, and counters, in a key-value store.

use runner::http::{self, Html, Json, Method, Reply, Request, Response, StatusCode, header};
use runner::{Failure, kv};
use serde::{Deserialize, Serialize};

/// One entry, as the form sends it and the store keeps it.
#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    text: String,
}

/// Entries on a page, the newest first.
const SHOWN: i64 = 20;
/// Letters of a name and of a text, and bytes of the whole form: each letter may take twelve of them.
const NAME_LETTERS: usize = 60;
const TEXT_LETTERS: usize = 1_000;
const FORM_BYTES: usize = 16 << 10;

#[runner::http]
async fn handle(request: Request) -> Result<Response, Failure> {
    match (request.method(), request.uri().path()) {
        // To look whether it is there is no visit.
        (&Method::HEAD, "/") => page(&kv::open("default")?),
        (&Method::GET, "/") => visited(&kv::open("default")?),
        (&Method::POST, "/") => sign(request).await,
        (_, "/") => not_allowed("GET, HEAD, POST"),
        (&Method::GET | &Method::HEAD, "/counters") => counters(),
        (_, "/counters") => not_allowed("GET, HEAD"),
        (_, path) => (StatusCode::NOT_FOUND, format!("there is no page `{path}`\n")).reply(),
    }
}

fn visited(store: &kv::Store) -> Result<Response, Failure> {
    match store.increment("visits", 1) {
        // One that is full counts no more, and shows what it has.
        Err(error) if error.kind() == kv::ErrorKind::Full => {}
        counted => _ = counted?,
    }
    page(store)
}

fn page(store: &kv::Store) -> Result<Response, Failure> {
    let (visits, last) = (number(store, "visits")?, number(store, "entries")?);
    let mut entries = String::new();
    for number in ((last - SHOWN).max(0) + 1..=last).rev() {
        // One that was taken back is none.
        let Some(Entry { name, text }) = store.get_json(&key(number))? else { continue };
        entries += &format!("<li><b>{}</b>: {}</li>\n", escaped(&name), escaped(&text));
    }
    Html(format!(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<title>Guestbook</title>\n<h1>Guestbook</h1>\n\
         <form method=post>\n\
         <input name=name maxlength={NAME_LETTERS} placeholder=Name required>\n\
         <input name=text maxlength={TEXT_LETTERS} placeholder=Text required>\n\
         <button>Sign</button>\n</form>\n<ul>\n{entries}</ul>\n<p>{last} entries, {visits} visits</p>\n</html>\n"
    ))
    .reply()
}

async fn sign(request: Request) -> Result<Response, Failure> {
    let entry: Entry = match request.into_body().limit(FORM_BYTES).form().await {
        Ok(entry) => entry,
        Err(error) if error.kind() == http::ErrorKind::TooLarge => return StatusCode::PAYLOAD_TOO_LARGE.reply(),
        Err(error) if error.kind() == http::ErrorKind::Decode => {
            return (StatusCode::BAD_REQUEST, "expected a form with `name` and `text`\n").reply();
        }
        Err(error) => return Err(error.into()),
    };
    for (what, said, most) in [("name", &entry.name, NAME_LETTERS), ("text", &entry.text, TEXT_LETTERS)] {
        let letters = said.chars().count();
        if said.trim().is_empty() || letters > most {
            let message = format!("`{what}`: expected 1 to {most} letters, found {letters}\n");
            return (StatusCode::UNPROCESSABLE_ENTITY, message).reply();
        }
    }
    let store = kv::open("default")?;
    keep(&store, &entry)?;
    // To the page, by GET: to load it again signs nothing.
    Ok(Response::builder().status(StatusCode::SEE_OTHER).header(header::LOCATION, "/").body("".into())?)
}

/// Writes an entry under the next number, and then counts it: what the store has no room for moves nothing that is shown.
fn keep(store: &kv::Store, entry: &Entry) -> Result<(), Failure> {
    let entry = serde_json::to_vec(entry)?;
    let mut own = number(store, "entries")? + 1;
    // Somebody who signs at the same time has this one.
    while !store.insert(&key(own), &entry)? {
        own += 1;
    }
    let counted = store.update_json("entries", |last: Option<i64>| last.unwrap_or(0).max(own));
    if let Err(error) = counted {
        store.delete(&key(own))?;
        return Err(error.into());
    }
    Ok(())
}

/// What a counter is at.
fn number(store: &kv::Store, counter: &str) -> kv::Result<i64> {
    Ok(store.get_json(counter)?.unwrap_or(0))
}

fn counters() -> Result<Response, Failure> {
    #[derive(Serialize)]
    struct Counters {
        visits: i64,
        entries: i64,
    }
    let store = kv::open("default")?;
    Json(Counters { visits: number(&store, "visits")?, entries: number(&store, "entries")? }).reply()
}

fn not_allowed(allowed: &'static str) -> Result<Response, Failure> {
    let mut response = StatusCode::METHOD_NOT_ALLOWED.reply()?;
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allowed));
    Ok(response)
}

/// In the order of the numbers.
fn key(number: i64) -> String {
    format!("entry/{number:019}")
}

/// Text as it stands in HTML, between tags.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
