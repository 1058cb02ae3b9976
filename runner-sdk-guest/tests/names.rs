//! Authors' names that the attributes could meet with their own: it compiles, and each is the author's.

mod tasks {
    use runner::Failure;

    pub(crate) struct SchemaOf;

    #[runner::task]
    pub(crate) fn run(arguments: u32) -> u32 {
        arguments + 1
    }

    #[runner::task]
    pub(crate) fn describe(run: u32) -> Result<u32, Failure> {
        Ok(run + 2)
    }

    #[runner::task]
    pub(crate) fn arguments(describe: u32) -> u32 {
        describe + 3
    }

    #[runner::task]
    pub(crate) fn value_0(value_1: u32, value_0: u32) -> u32 {
        value_1 * value_0
    }
}

mod request {
    use runner::http::Request;

    #[runner::http]
    pub(crate) fn request(request: Request) -> &'static str {
        let _ = request;
        "request"
    }
}

mod handler {
    use runner::http::Request;

    #[runner::http]
    pub(crate) async fn out(out: Request) -> String {
        out.uri().to_string()
    }
}

mod answer {
    use runner::http::Request;

    #[runner::http]
    pub(crate) async fn answer(_: Request) -> runner::http::StatusCode {
        runner::http::StatusCode::OK
    }
}

#[test]
fn a_task_is_called_what_its_author_likes() -> Result<(), runner::Failure> {
    let _ = tasks::SchemaOf;
    let called = (tasks::run(1), tasks::describe(1)?, tasks::arguments(1), tasks::value_0(2, 3));
    assert_eq!(called, (2, 3, 4, 6));
    Ok(())
}

#[test]
fn a_handler_is_called_what_its_author_likes() {
    let asked = || runner::http::Request::new(Default::default());
    assert_eq!(request::request(asked()), "request");
    assert_eq!(runner::block_on(handler::out(asked())), "/");
    assert_eq!(runner::block_on(answer::answer(asked())), runner::http::StatusCode::OK);
}
