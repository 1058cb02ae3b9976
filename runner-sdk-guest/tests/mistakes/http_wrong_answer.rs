use runner::http::Request;

#[runner::http]
async fn handle(request: Request) -> u32 {
    request.uri().path().len() as u32
}

fn main() {}
