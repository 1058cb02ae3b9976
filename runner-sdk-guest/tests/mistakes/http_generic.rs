#[runner::http]
async fn handle<B: Into<runner::http::Body>>(request: runner::http::Request<B>) -> runner::http::Response {
    runner::http::Response::new(request.into_body().into())
}

fn main() {}
