struct Site;

impl Site {
    #[runner::http]
    async fn handle(&self, request: runner::http::Request) -> runner::http::Response {
        runner::http::Response::new(request.into_body())
    }
}

fn main() {}
