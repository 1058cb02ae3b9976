//! A web handler on wstd: `/` says hello, `/wait` sleeps first, `/echo` streams the body back, `/fetch` asks the URL in the
//! header `x-url` and passes on what it answers.

use wstd::http::{Body, Client, Error, Request, Response, StatusCode};
use wstd::time::Duration;

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    match request.uri().path() {
        "/" => Ok(Response::new("hello from wstd\n".into())),
        "/wait" => {
            wstd::task::sleep(Duration::from_millis(20)).await;
            Ok(Response::new("waited\n".into()))
        }
        "/echo" => Ok(Response::new(request.into_body())),
        "/fetch" => fetch(&request).await,
        _ => status(StatusCode::NOT_FOUND, String::new()),
    }
}

async fn fetch(request: &Request<Body>) -> Result<Response<Body>, Error> {
    let Some(url) = request.headers().get("x-url").and_then(|url| url.to_str().ok()) else {
        return status(StatusCode::BAD_REQUEST, "expected a URL in the header `x-url`\n".to_owned());
    };
    match Client::new().send(Request::get(url).body(Body::empty())?).await {
        Ok(response) => Ok(Response::new(response.into_body())),
        Err(error) => status(StatusCode::BAD_GATEWAY, format!("{error:?}\n")),
    }
}

fn status(status: StatusCode, body: String) -> Result<Response<Body>, Error> {
    Ok(Response::builder().status(status).body(body.into())?)
}
