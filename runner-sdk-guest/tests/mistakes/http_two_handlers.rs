use runner::http::{Request, Response};

#[runner::http]
async fn handle(request: Request) -> Response {
    Response::new(request.into_body())
}

#[runner::http]
async fn another(request: Request) -> Response {
    Response::new(request.into_body())
}

fn main() {}
