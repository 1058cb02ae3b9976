#[runner::http]
async fn handle() -> runner::http::StatusCode {
    runner::http::StatusCode::OK
}

fn main() {}
