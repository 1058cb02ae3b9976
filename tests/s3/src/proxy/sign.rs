//! Signature version 4 over a request whose headers the proxy has changed: its signature would no longer hold.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::wire::Head;
use crate::service::hex;

/// Signs a request anew, with those of the headers that it was signed with which it still has. A request that is not signed in its
/// headers is left as it is.
///
/// # Panics
///
/// When each chunk of the body is signed with what the head was signed with: the AWS SDK for Rust does not do that.
pub(crate) fn sign(head: &mut Head, secret: &str) {
    let Some(authorization) = head.get("authorization").map(str::to_owned) else { return };
    let Some(fields) = authorization.strip_prefix("AWS4-HMAC-SHA256 ") else { return };
    let field = |name: &str| fields.split(',').find_map(|one| one.trim().strip_prefix(name)?.strip_prefix('='));
    let (Some(credential), Some(signed)) = (field("Credential"), field("SignedHeaders")) else { return };
    let (Some(date), Some(payload)) = (head.get("x-amz-date"), head.get("x-amz-content-sha256")) else { return };
    assert!(!payload.starts_with("STREAMING-AWS4"), "chunks are signed: `{payload}`");
    let Some((_, scope)) = credential.split_once('/') else { return };
    let Ok((method, target)) = head.request() else { return };

    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut pairs: Vec<String> = query.split('&').filter(|pair| !pair.is_empty()).map(with_value).collect();
    pairs.sort_unstable();
    let names: Vec<&str> = signed.split(';').filter(|name| head.get(name).is_some()).collect();
    let value = |name: &&str| head.get(name).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    let headers: String = names.iter().map(|name| format!("{name}:{}\n", value(name))).collect();
    let names = names.join(";");
    let request = format!("{method}\n{path}\n{}\n{headers}\n{names}\n{payload}", pairs.join("&"));
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(request)));

    let key = format!("AWS4{secret}").into_bytes();
    let key = scope.split('/').fold(key, |key, part| mac(&key, part));
    let signature = hex(&mac(&key, &text));
    let value = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}");
    head.set("authorization", &value);
}

fn with_value(pair: &str) -> String {
    if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
