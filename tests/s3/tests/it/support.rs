//! A client of the AWS SDK without retries, and outcomes as words: what a table of checks compares.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use runner_s3::Endpoint;

pub(crate) fn client(endpoint: &Endpoint) -> Client {
    client_with(endpoint, &endpoint.secret_key)
}

pub(crate) fn client_with(endpoint: &Endpoint, secret_key: &str) -> Client {
    let credentials = Credentials::new(&endpoint.access_key, secret_key, None, None, "tests");
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(&endpoint.url)
        .region(Region::new(endpoint.region.clone()))
        .credentials_provider(credentials)
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

pub(crate) fn body(bytes: &[u8]) -> ByteStream {
    ByteStream::from(bytes.to_vec())
}

/// `ok`, or the status and the code that the store gave, or what kept it from giving one.
pub(crate) fn said<T, E>(result: &Result<T, SdkError<E>>) -> String
where
    SdkError<E>: ProvideErrorMetadata,
{
    match result {
        Ok(_) => "ok".into(),
        Err(error) => refused(error),
    }
}

pub(crate) fn refused<E>(error: &SdkError<E>) -> String
where
    SdkError<E>: ProvideErrorMetadata,
{
    match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            match error.code() {
                Some(code) => format!("{status} {code}"),
                None => status.to_string(),
            }
        }
        SdkError::DispatchFailure(_) => "no answer".into(),
        SdkError::TimeoutError(_) => "too late".into(),
        _ => "an answer that cannot be read".into(),
    }
}

/// The range, where there is one, and the text.
pub(crate) async fn read<E>(result: Result<GetObjectOutput, SdkError<E>>) -> String
where
    SdkError<E>: ProvideErrorMetadata,
{
    match result {
        Ok(output) => {
            let range = output.content_range().map(|range| format!("{range}: ")).unwrap_or_default();
            match output.body.collect().await {
                Ok(bytes) => format!("{range}{}", String::from_utf8_lossy(&bytes.into_bytes())),
                Err(_) => "a body that is not whole".into(),
            }
        }
        Err(error) => refused(&error),
    }
}
