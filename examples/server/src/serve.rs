//! The listener: connections with bounds on their number and on the time for a head, and an end that lets requests finish.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::StatusCode;
use hyper::server::conn::http1::{Builder, Connection};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::Problem;
use crate::patient::Patient;

/// Open connections; the next one waits to be accepted.
const CONNECTIONS_MAX: usize = 1_024;
/// Time for the head of a request, and for a connection to be idle.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// Time to tell a client that it was too slow.
const TELL_MAX: Duration = Duration::from_secs(5);
/// Pause where the system has no connection to give, for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `end`, then lets what is under way finish, for so long at most.
pub async fn serve(listener: TcpListener, app: Router, end: impl Future<Output = ()>, grace: Duration) {
    let mut http = Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (connections, ending) = (TaskTracker::new(), CancellationToken::new());
    let mut end = std::pin::pin!(end);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            () = &mut end => break,
            (place, accepted) = next => match accepted {
                Ok((stream, _)) => (place, stream),
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        // Answers are small or stream: waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(app.clone());
        let connection = http.serve_connection(TokioIo::new(Patient::new(stream)), service);
        let ending = ending.clone();
        connections.spawn(async move {
            let _place = place;
            until_end(connection, ending).await;
        });
    }
    drop(listener);
    ending.cancel();
    connections.close();
    if timeout(grace, connections.wait()).await.is_err() {
        tracing::warn!(?grace, "requests were cut off");
    }
}

/// Serves one connection; once the server ends, no further than the request under way.
async fn until_end(
    mut connection: Connection<TokioIo<Patient>, TowerToHyperService<Router>>,
    ending: CancellationToken,
) {
    let served = tokio::select! {
        served = &mut connection => served,
        () = ending.cancelled() => {
            Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    // A connection that breaks is its client's affair, and so is one that was idle.
    if served.is_err_and(|error| error.is_timeout()) {
        let parts = connection.into_parts();
        if !parts.read_buf.is_empty() {
            let _ = timeout(TELL_MAX, tell_too_slow(parts.io.into_inner())).await;
        }
    }
}

/// The answer to a head that never ended, which no handler gets to see.
async fn tell_too_slow(mut stream: Patient) -> std::io::Result<()> {
    let status = StatusCode::REQUEST_TIMEOUT;
    let problem = Problem::too_slow(format!("the head of the request took longer than {HEAD_MAX:?}"));
    let body = serde_json::to_string(&problem)?;
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await?;
    stream.shutdown().await
}
