#[runner::http]
async fn handle(request: runner::http::Request, page: u32) -> runner::http::Response {
    let _ = page;
    runner::http::Response::new(request.into_body())
}

fn main() {}
