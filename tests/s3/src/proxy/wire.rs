//! HTTP/1.1 as bytes on a connection: heads, and bodies whose end is known, passed on as they are. A proxy that understood more
//! could not misbehave as a broken network does.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Larger than any head of S3: keys have 1 KiB, metadata 2 KiB.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Far more than S3 sends.
const HEADERS_MAX: usize = 100;
/// What is read at once.
const READ_BYTES: usize = 128 << 10;

/// One side of the proxy.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    /// What was read and belongs to nothing yet.
    pub(crate) buffer: BytesMut,
}

/// The head of a request or of a response.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// `GET /bucket/key HTTP/1.1`, or `HTTP/1.1 200 OK`.
    pub(crate) line: String,
    /// In their order.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

/// How the end of a body is known.
#[derive(Debug)]
pub(crate) enum Body {
    /// So many bytes are to come.
    Length(u64),
    Chunked(Chunk),
    /// It ends with the connection.
    Close,
}

/// Where in a chunked body the next byte lies.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// In the line that gives the size, of which so much was read.
    Size(Vec<u8>),
    /// In the chunk or the line's end behind it.
    Data(u64),
    /// In the trailers; so many bytes of the current line were read.
    Trailer(u64),
    End,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        // Pieces are to arrive when they are sent, above all where they are meant to be slow.
        let _ = stream.set_nodelay(true);
        Self { stream, buffer: BytesMut::new() }
    }

    /// Reads the next head; none when the other side is done.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.buffer.split_to(end + 4);
                return Head::parse(&head).map(Some);
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(broken("a head without an end"));
            }
            if !self.fill().await? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// The next piece of a body, as it stands on the wire; none at its end.
    pub(crate) async fn piece(&mut self, body: &mut Body) -> io::Result<Option<Bytes>> {
        if body.is_done() {
            return Ok(None);
        }
        if self.buffer.is_empty() && !self.fill().await? {
            return match body {
                Body::Close => Ok(None),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
        let len = body.advance(&self.buffer)?;
        Ok(Some(self.buffer.split_to(len).freeze()))
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        // Fails only for a socket that is gone.
        let _ = self.stream.set_zero_linger();
    }

    async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.reserve(READ_BYTES);
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }
}

impl Head {
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let line_end = bytes.windows(2).position(|two| two == b"\r\n").ok_or_else(|| broken("a head of one line"))?;
        let line = String::from_utf8(bytes[..line_end].to_vec()).map_err(|_| broken("a first line that is no text"))?;
        let (_, headers) = match httparse::parse_headers(&bytes[line_end + 2..], &mut headers) {
            Ok(httparse::Status::Complete(parsed)) => parsed,
            _ => return Err(broken("headers that cannot be read")),
        };
        let headers = headers.iter().map(|header| (header.name.to_owned(), header.value.to_vec())).collect();
        Ok(Self { line, headers })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(one, _)| one.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(&found.1).ok()
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.headers.retain(|(one, _)| !one.eq_ignore_ascii_case(name));
    }

    /// The method and the target of a request.
    pub(crate) fn request(&self) -> io::Result<(&str, &str)> {
        let mut words = self.line.split(' ');
        words.next().zip(words.next()).ok_or_else(|| broken("a request line without a target"))
    }

    /// The status of a response.
    pub(crate) fn status(&self) -> io::Result<u16> {
        let status = self.line.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.ok_or_else(|| broken("a response without a status"))
    }

    pub(crate) fn body_of_request(&self) -> Body {
        self.body().unwrap_or(Body::Length(0))
    }

    /// The body of a response to a request of a method.
    pub(crate) fn body_of_response(&self, method: &str, status: u16) -> Body {
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Body::Length(0);
        }
        self.body().unwrap_or(Body::Close)
    }

    fn body(&self) -> Option<Body> {
        if self.get("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked")) {
            return Some(Body::Chunked(Chunk::Size(Vec::new())));
        }
        self.content_length().map(Body::Length)
    }

    pub(crate) fn content_length(&self) -> Option<u64> {
        self.get("content-length")?.trim().parse().ok()
    }

    pub(crate) fn closes(&self) -> bool {
        self.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.line).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

impl Body {
    fn is_done(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunk::End))
    }

    /// How many of these bytes belong to it.
    fn advance(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Close => Ok(bytes.len()),
            Self::Length(left) => {
                let len = (*left).min(bytes.len() as u64);
                *left -= len;
                Ok(len as usize)
            }
            Self::Chunked(chunk) => {
                let mut at = 0;
                while at < bytes.len() && !matches!(chunk, Chunk::End) {
                    at += chunk.advance(&bytes[at..])?;
                }
                Ok(at)
            }
        }
    }
}

impl Chunk {
    /// Takes in a byte or more of what is there, at most to the end of the part that it is in.
    fn advance(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Size(line) => {
                line.push(bytes[0]);
                if bytes[0] == b'\n' {
                    let text = String::from_utf8_lossy(line);
                    let digits = text.split(';').next().unwrap_or_default().trim();
                    let size = u64::from_str_radix(digits, 16).map_err(|_| broken("a chunk without a size"))?;
                    // The line's end behind the data belongs to it.
                    *self = if size == 0 { Self::Trailer(0) } else { Self::Data(size + 2) };
                } else if line.len() > HEAD_BYTES_MAX {
                    return Err(broken("a chunk's size without an end"));
                }
                Ok(1)
            }
            Self::Data(left) => {
                let len = (*left).min(bytes.len() as u64);
                *left -= len;
                if *left == 0 {
                    *self = Self::Size(Vec::new());
                }
                Ok(len as usize)
            }
            Self::Trailer(read) => {
                match bytes[0] {
                    b'\n' if *read == 0 => *self = Self::End,
                    b'\n' => *read = 0,
                    b'\r' => {}
                    _ => *read += 1,
                }
                Ok(1)
            }
            Self::End => Ok(0),
        }
    }
}
