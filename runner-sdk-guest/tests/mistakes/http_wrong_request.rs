use runner::http::Response;

#[runner::http]
async fn handle(path: String) -> Response {
    Response::new(path.into())
}

fn main() {}
