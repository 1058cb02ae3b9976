//! Names whose servers never answer: they cost whoever asks for them, and nobody else.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use runner_core::async_trait;
use runner_host_http::{Client, ErrorKind, Grant, Resolve};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{Server, body, grant, send, until};

/// Looks names up like the system's own: it does not stop because nobody waits any more. Those that begin with `stuck` have no
/// answer until the test says so.
#[derive(Clone)]
struct Slow {
    stuck: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    let_go: Arc<Semaphore>,
}

#[async_trait]
impl Resolve for Slow {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if name.starts_with("stuck") {
            self.most.fetch_max(self.stuck.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            self.let_go.acquire().await.map_err(io::Error::other)?.forget();
            self.stuck.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    }
}

/// Every name, in as short a time as there is. Each has connections and look-ups of its own.
fn granted(server: &Server, number: usize) -> Grant {
    let rule = json!({ "scheme": "http", "host": "*", "port": server.port, "addresses": ["127.0.0.1"] });
    grant(json!({ "allow": [rule], "caps": { "connect_ms": 500, "response_bytes": 1_000 + number } }))
}

#[tokio::test]
async fn look_ups_that_never_end_are_few_and_leave_room_for_others() {
    let server = Server::start().await;
    let (stuck, most) = (Arc::default(), Arc::default());
    let slow = Slow { stuck, most, let_go: Arc::new(Semaphore::new(0)) };
    let client = Arc::new(Client::new().resolver(slow.clone()));
    let hello = async |grant: &Grant| {
        let url = server.named("here.test", "/hello");
        Ok::<_, ErrorKind>(body(send(&client, grant, &url).await.map_err(|error| error.kind())?).await.unwrap())
    };
    let ask_for_stuck_names = async |grants: std::ops::Range<usize>| {
        let sends = grants.flat_map(|grant| (0..20).map(move |name| (grant, name))).map(|(grant, name)| {
            let url = server.named(&format!("stuck-{grant}-{name}.test"), "/hello");
            let (client, granted) = (Arc::clone(&client), granted(&server, grant));
            tokio::spawn(async move { send(&client, &granted, &url).await.map(drop).map_err(|error| error.kind()) })
        });
        for sent in sends.collect::<Vec<_>>() {
            assert_eq!(sent.await.unwrap(), Err(ErrorKind::ConnectTimeout));
        }
    };
    // One grant: nobody waits for its look-ups any more, and they still count.
    ask_for_stuck_names(0..1).await;
    assert_eq!(slow.most.load(Ordering::SeqCst), 8);
    assert_eq!(hello(&granted(&server, 0)).await, Err(ErrorKind::ConnectTimeout), "it has used them up");
    assert_eq!(hello(&granted(&server, 100)).await.as_deref(), Ok("hello"), "others have theirs");
    // However many grants there are, the threads that the program needs are left.
    ask_for_stuck_names(1..6).await;
    assert_eq!(slow.most.load(Ordering::SeqCst), 32);
    slow.let_go.add_permits(1_000);
    until("they have ended", || slow.stuck.load(Ordering::SeqCst) == 0).await;
    for number in [0, 3, 101] {
        assert_eq!(hello(&granted(&server, number)).await.as_deref(), Ok("hello"), "{number}");
    }
}
