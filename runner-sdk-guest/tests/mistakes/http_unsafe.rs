#[runner::http]
async unsafe fn handle(request: runner::http::Request) -> runner::http::Response {
    runner::http::Response::new(request.into_body())
}

fn main() {}
