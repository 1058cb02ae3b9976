//! Summarises what lies at an address: its title, how many words it has, and the most frequent of them.
//!
//! It is read as it comes: a page of gigabytes takes no more memory than one of kilobytes.

mod page;

use runner::Failure;
use runner::http::{self, ErrorKind, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use self::page::Page;

/// What lies at an address.
#[derive(Serialize, JsonSchema)]
struct Summary {
    /// Of HTML, where it has one.
    title: Option<String>,
    words: u64,
    /// The most frequent words of four letters or more, the most frequent first.
    frequent: Vec<Frequent>,
    bytes: u64,
    content_type: String,
}

/// A word, and how often it is there.
#[derive(Serialize, JsonSchema)]
struct Frequent {
    word: String,
    count: u64,
}

/// Frequent words that a summary shows.
const SHOWN: usize = 10;

/// Summarises the text at an address: HTML or plain text, in UTF-8.
///
/// Fails with `refused` where the host does not let it ask there, `not-found` and `not-answered` where there is nothing to
/// read, `unavailable` where there may be later, `not-text` where it is no text, and the codes of `runner::http`.
#[runner::task]
async fn summarise(url: String) -> Result<Summary, Failure> {
    let request = http::get(&url).header(header::ACCEPT, "text/html, text/plain;q=0.9, text/*;q=0.5");
    let response = request.send().await.map_err(|error| match error.kind() {
        ErrorKind::Denied => Failure::new("refused", format!("`{url}` may not be asked: {error}")),
        _ => error.into(),
    })?;
    match response.status() {
        status if status.is_success() => {}
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            return Err(Failure::new("not-found", format!("there is nothing at `{url}`")));
        }
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return Err(Failure::new("unavailable", format!("`{url}` answers {status} for now")).retryable());
        }
        status => return Err(Failure::new("not-answered", format!("`{url}` answers {status}"))),
    }
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let content_type =
        content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !kind.starts_with("text/") && kind != "application/xhtml+xml" {
        return Err(Failure::new("not-text", format!("`{url}` has no text, but `{content_type}`")));
    }
    let mut page = Page::new(kind.ends_with("html") || kind.ends_with("xml"));
    let mut body = response.into_body();
    while let Some(piece) = body.chunk().await? {
        page.read(&piece);
    }
    page.end();
    let frequent = page.frequent(SHOWN).into_iter().map(|(word, count)| Frequent { word, count }).collect();
    Ok(Summary { title: page.title(), words: page.words, frequent, bytes: page.bytes, content_type })
}
