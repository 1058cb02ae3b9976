//! A web handler for wasmCloud, on its own library: counts how often each path was asked for, and keeps what is sent to it.
//!
//!     GET /PATH       adds one to the path's number and answers it
//!     PUT /PATH       keeps the header `x-value`, and reads it back twice: alone, and in a batch
//!     DELETE /PATH    forgets it

use wasmcloud_component::http::{self, ErrorCode, IncomingRequest, OutgoingBody, Response};
use wasmcloud_component::wasi::keyvalue::{atomics, batch, store};

struct Component;

http::export!(Component);

impl http::Server for Component {
    fn handle(request: IncomingRequest) -> http::Result<Response<impl OutgoingBody>> {
        let key = request.uri().path().to_owned();
        let bucket = store::open("default").map_err(failed)?;
        let answer = match request.method().as_str() {
            "GET" => atomics::increment(&bucket, &key, 1).map_err(failed)?.to_string(),
            "PUT" => {
                let value = request.headers().get("x-value").map(|value| value.as_bytes().to_vec()).unwrap_or_default();
                bucket.set(&key, &value).map_err(failed)?;
                let alone = bucket.get(&key).map_err(failed)?;
                let batched = batch::get_many(&bucket, &[key.clone(), "/absent".to_owned()]).map_err(failed)?;
                let shown = |value: Option<Vec<u8>>| value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                let batched: Vec<_> =
                    batched.into_iter().map(|pair| pair.map(|(key, value)| (key, shown(Some(value))))).collect();
                format!("{:?} {batched:?}", shown(alone))
            }
            "DELETE" => {
                bucket.delete(&key).map_err(failed)?;
                let keys = bucket.list_keys(None).map_err(failed)?.keys;
                format!("{} {keys:?}", bucket.exists(&key).map_err(failed)?)
            }
            other => format!("expected GET, PUT or DELETE, found {other}"),
        };
        Ok(Response::new(answer))
    }
}

fn failed(error: store::Error) -> ErrorCode {
    ErrorCode::InternalError(Some(error.to_string()))
}
