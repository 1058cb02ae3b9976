//! The way of a request through the proxy: read its head, wait, halt, and pass it on; then its answer, whole or not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::fault::Fault;
use super::sign::sign;
use super::wire::{Body, Head, Wire};
use super::{Halt, Passes, Shared};
use crate::clock::Clock;
use crate::kind::Call;
use crate::log::Ticket;

/// What is kept of an answer, to be given in the place of another one.
const KEPT_BYTES_MAX: u64 = 64 << 10;
/// What is given twice has to fit in memory.
const TWICE_BYTES_MAX: usize = 64 << 20;

/// The conditions of reads, writes, deletes and copies.
const CONDITIONS: [&str; 4] =
    ["if-match", "if-none-match", "x-amz-copy-source-if-match", "x-amz-copy-source-if-none-match"];

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let connection = Connection { shared: Arc::clone(&shared), store: None };
        // A connection ends as its two sides make it end.
        tokio::spawn(async move { drop(connection.run(Wire::new(stream)).await) });
    }
}

/// A client's connection, and the one to the store that goes with it.
struct Connection {
    shared: Arc<Shared>,
    store: Option<Wire>,
}

/// A request that is being passed on.
struct Passage {
    ticket: Ticket,
    call: Call,
    method: String,
    fault: Option<Fault>,
    busy: Busy,
}

/// As long as it is there, the store may be at work on a request.
struct Busy(Arc<Shared>);

impl Busy {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.halt.send_modify(|halt| halt.under_way += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.halt.send_modify(|halt| halt.under_way -= 1);
    }
}

impl Connection {
    async fn run(mut self, mut client: Wire) -> io::Result<()> {
        while let Some(head) = client.head().await? {
            let closes = head.closes();
            match self.request(client, head).await? {
                Some(next) if !closes => client = next,
                _ => break,
            }
        }
        Ok(())
    }

    /// Serves one request. Gives the client's side back when another one may follow.
    async fn request(&mut self, mut client: Wire, mut head: Head) -> io::Result<Option<Wire>> {
        let (method, target) = head.request()?;
        let call = Call::read(method, target, |name| head.get(name));
        let method = method.to_owned();
        let ticket = self.shared.log.begin(call.clone());
        // Before it waits: what came before a halt is passed on, and the halt waits for it.
        let busy = Busy::begin(&self.shared);
        let (fault, latency, ignores) = {
            let mut state = self.shared.state();
            (state.plan.decide(ticket.index, &call), state.latency, state.ignores_preconditions)
        };
        let note = |fault: &Fault| self.shared.log.faulted(ticket, fault.to_string());
        fault.iter().filter(|fault| **fault != Fault::Stale).for_each(note);
        pause(latency).await;
        if let Some(Fault::Delay(delay)) = fault {
            pause(delay).await;
        }
        let halt = self.shared.halt.borrow().clone();
        let half = head.content_length().unwrap_or(0) / 2;
        let passes = halt.passes == Passes::All || halt.passes == Passes::Half && half > 0;
        if halt.at.is_some_and(|at| ticket.index > at || ticket.index == at && !passes) {
            drop(busy);
            return self.hold(client, halt, ticket.index).await;
        }
        if head.get("expect").is_some() {
            client.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            head.remove("expect");
        }
        if ignores && CONDITIONS.iter().any(|name| head.get(name).is_some()) {
            CONDITIONS.iter().for_each(|name| head.remove(name));
            sign(&mut head, &self.shared.secret_key);
        }
        let passage = Passage { ticket, call, method, fault, busy };
        match passage.fault {
            Some(Fault::Answer { status, code }) => self.refuse(client, &head, &passage, (status, code, 0)).await,
            Some(Fault::TooSkewed { seconds }) => {
                self.refuse(client, &head, &passage, (403, "RequestTimeTooSkewed", seconds)).await
            }
            Some(Fault::ResetBefore) => {
                client.reset();
                Ok(None)
            }
            _ => self.pass(client, head, passage).await,
        }
    }

    /// Holds a request until the proxy goes on, and then cuts it off.
    async fn hold(&self, client: Wire, seen: Halt, index: u64) -> io::Result<Option<Wire>> {
        let mut halt = self.shared.halt.subscribe();
        self.shared.halt.send_modify(|halt| halt.reached |= halt.at == Some(index));
        // The proxy is there as long as it serves.
        let _ = halt.wait_for(|halt| halt.released > seen.released).await;
        client.reset();
        Ok(None)
    }

    /// Answers in the store's place.
    async fn refuse(
        &self,
        mut client: Wire,
        head: &Head,
        passage: &Passage,
        (status, code, seconds): (u16, &str, i64),
    ) -> io::Result<Option<Wire>> {
        let mut body = head.body_of_request();
        drain(&mut client, &mut body).await?;
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>by the proxy</Message></Error>"
        );
        let now = Timestamp::try_from(Clock::default().now()).map_err(io::Error::other)?;
        let date = written(shifted(now, seconds + self.shared.state().skew_seconds));
        let answer = format!(
            "HTTP/1.1 {status} {code}\r\ncontent-type: application/xml\r\ndate: {date}\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        let body = if passage.method == "HEAD" { "" } else { &text };
        self.shared.log.answered(passage.ticket, status, text.len() as u64);
        client.write(format!("{answer}{body}").as_bytes()).await?;
        Ok(Some(client))
    }

    /// Passes a request on, and its answer back.
    async fn pass(&mut self, mut client: Wire, head: Head, passage: Passage) -> io::Result<Option<Wire>> {
        let mut store = self.dial().await?;
        store.write(&head.bytes()).await?;
        let mut body = head.body_of_request();
        let halt = self.shared.halt.borrow().clone();
        let halts_within = halt.at == Some(passage.ticket.index) && halt.passes == Passes::Half;
        let most = match passage.fault {
            _ if halts_within => head.content_length().unwrap_or(0) / 2,
            Some(Fault::ResetInUpload { bytes }) => bytes,
            _ => u64::MAX,
        };
        let whole = upload(&mut client, &mut store, &mut body, most).await?;
        if halts_within {
            let Passage { ticket, busy, .. } = passage;
            drop(busy);
            // The store waits for the rest, until it is cut off with the client.
            return self.hold(client, halt, ticket.index).await;
        }
        if let Some(Fault::ResetInUpload { .. }) = passage.fault {
            store.reset();
            client.reset();
            return Ok(None);
        }
        let answer = loop {
            // Whatever became of the body, the store may have said why.
            let answer = store.head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if answer.status()? >= 200 {
                break answer;
            }
        };
        let closes = answer.closes();
        let Passage { ticket, call, method, fault, busy } = passage;
        drop(busy);
        let halt = self.shared.halt.borrow().clone();
        if halt.at == Some(ticket.index) {
            return self.hold(client, halt, ticket.index).await;
        }
        let passage = Answer { ticket, call, method, fault };
        let Some(mut client) = self.answer(client, &mut store, answer, passage).await? else { return Ok(None) };
        if !whole {
            // To close now would be a reset, which takes the answer away from who is still sending.
            drain(&mut client, &mut body).await?;
            return Ok(None);
        }
        self.store = (!closes).then_some(store);
        Ok((!closes).then_some(client))
    }

    /// A connection to the store: the one of the request before, if it is still good.
    async fn dial(&mut self) -> io::Result<Wire> {
        if let Some(kept) = self.store.take() {
            let mut byte = [0];
            // An idle connection has nothing to read, not even its end.
            let idle =
                matches!(kept.stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
            if idle && kept.buffer.is_empty() {
                return Ok(kept);
            }
        }
        TcpStream::connect(self.shared.store).await.map(Wire::new)
    }
}

/// What is known of a request when its answer comes.
struct Answer {
    ticket: Ticket,
    call: Call,
    method: String,
    fault: Option<Fault>,
}

impl Connection {
    /// Gives the answer to the client. Gives the client's side back when the answer was whole, and another request may follow.
    async fn answer(
        &self,
        mut client: Wire,
        store: &mut Wire,
        mut head: Head,
        passage: Answer,
    ) -> io::Result<Option<Wire>> {
        let status = head.status()?;
        let mut body = head.body_of_response(&passage.method, status);
        let until_close = matches!(body, Body::Close);
        let mut skew = self.shared.state().skew_seconds;
        if let Some(Fault::Skew { seconds }) = passage.fault {
            skew += seconds;
        }
        if skew != 0 {
            shift_date(&mut head, skew);
        }
        let keeps = matches!(body, Body::Length(bytes) if bytes <= KEPT_BYTES_MAX) && status < 300;
        let mut kept = keeps.then(|| BytesMut::from(&head.bytes()[..]));
        let previous = match passage.fault {
            Some(Fault::Stale) => self.shared.state().answers.get(&passage.call.kind).cloned(),
            _ => None,
        };
        if previous.is_none() {
            self.shared.log.answered(passage.ticket, status, head.content_length().unwrap_or(0));
        }
        match (&passage.fault, &previous) {
            (Some(Fault::ResetAfter), _) => {
                drain(store, &mut body).await?;
                client.reset();
                return Ok(None);
            }
            (Some(Fault::Stale), Some(previous)) => {
                self.shared.log.faulted(passage.ticket, Fault::Stale.to_string());
                drain(store, &mut body).await?;
                client.write(previous).await?;
                return Ok(Some(client));
            }
            (Some(Fault::Twice), _) => {
                let mut whole = BytesMut::from(&head.bytes()[..]);
                while let Some(piece) = store.piece(&mut body).await? {
                    whole.extend_from_slice(&piece);
                    if whole.len() > TWICE_BYTES_MAX {
                        return Err(io::Error::other("an answer that is too long to be given twice"));
                    }
                }
                whole.extend_from_within(..);
                client.write(&whole).await?;
                return Ok(Some(client));
            }
            _ => {}
        }
        client.write(&head.bytes()).await?;
        let most = match passage.fault {
            Some(Fault::ResetInBody { bytes } | Fault::Truncate { bytes }) => bytes,
            _ => u64::MAX,
        };
        let mut given = 0;
        while let Some(mut piece) = store.piece(&mut body).await? {
            piece.truncate((most - given).min(piece.len() as u64) as usize);
            given += piece.len() as u64;
            if let Some(kept) = &mut kept {
                kept.extend_from_slice(&piece);
            }
            match passage.fault {
                Some(Fault::Slow { bytes, pause: between }) => slowly(&mut client, piece, bytes, between).await?,
                _ => client.write(&piece).await?,
            }
            if given == most {
                break;
            }
        }
        match passage.fault {
            Some(Fault::ResetInBody { .. }) => {
                client.reset();
                return Ok(None);
            }
            Some(Fault::Truncate { .. }) => {
                client.stream.shutdown().await?;
                return Ok(None);
            }
            _ => {}
        }
        if let Some(kept) = kept {
            self.shared.state().answers.insert(passage.call.kind, kept.freeze());
        }
        Ok((!until_close).then_some(client))
    }
}

/// Passes on a body, up to so many bytes; tells whether it was all of it. A store may answer before it has read everything.
async fn upload(client: &mut Wire, store: &mut Wire, body: &mut Body, most: u64) -> io::Result<bool> {
    let (readable, mut writable) = store.stream.split();
    let pass_on = async {
        let mut passed = 0;
        while let Some(mut piece) = client.piece(body).await? {
            piece.truncate((most - passed).min(piece.len() as u64) as usize);
            passed += piece.len() as u64;
            if writable.write_all(&piece).await.is_err() || passed == most {
                return Ok(false);
            }
        }
        Ok::<_, io::Error>(true)
    };
    tokio::select! {
        biased;
        whole = pass_on => whole,
        _ = readable.readable() => Ok(false),
    }
}

async fn drain(wire: &mut Wire, body: &mut Body) -> io::Result<()> {
    while wire.piece(body).await?.is_some() {}
    Ok(())
}

async fn slowly(client: &mut Wire, mut piece: Bytes, bytes: usize, between: Duration) -> io::Result<()> {
    while !piece.is_empty() {
        let small = piece.split_to(bytes.clamp(1, piece.len()));
        client.write(&small).await?;
        pause(between).await;
    }
    Ok(())
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn shift_date(head: &mut Head, seconds: i64) {
    let date = head.get("date").and_then(|date| rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
    if let Some(date) = date {
        head.set("date", &written(shifted(date, seconds)));
    }
}

/// Bounded by what a date can say.
fn shifted(time: Timestamp, seconds: i64) -> Timestamp {
    time.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(time)
}

fn written(time: Timestamp) -> String {
    let time = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time);
    time.expect("the years of a timestamp have four digits")
}
