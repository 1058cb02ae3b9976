#[runner::http]
async fn handle(request: runner::http::Request) {
    let _ = request;
}

fn main() {}
