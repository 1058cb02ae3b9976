//! Bodies, in memory and streamed, of requests and responses alike.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body as HttpBody, Frame, SizeHint};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{BoxError, Error, ErrorKind, Result};

/// What is read into memory at once, unless [`Body::limit`] says otherwise: 2 MiB.
pub const READ_BYTES: usize = 2 << 20;

/// The body of a request or a response: bytes in memory, or a stream that is read as it comes.
///
/// It is an [`http_body::Body`] as well, for what crates such as `http-body-util` and `axum` have to offer.
///
/// ```
/// use runner::http::Body;
///
/// # runner::block_on(async {
/// let mut body = Body::from("all of it");
/// assert_eq!(body.chunk().await?.as_deref(), Some(&b"all of it"[..]));
/// assert_eq!(body.chunk().await?, None);
///
/// let lamps: Vec<u32> = Body::from("[1, 2]").json().await?;
/// assert_eq!(lamps, [1, 2]);
/// # Ok::<(), runner::http::Error>(())
/// # }).unwrap();
/// ```
pub struct Body {
    inner: Inner,
    read_bytes: usize,
}

enum Inner {
    Whole(Bytes),
    Streamed(Pin<Box<dyn HttpBody<Data = Bytes, Error = Error> + Send>>),
}

impl Body {
    /// A body of no bytes.
    pub fn empty() -> Self {
        Body::from(Bytes::new())
    }

    /// A value as JSON. Who sends it says so in `content-type`, as [`Json`](super::Json) and
    /// [`RequestBuilder::json`](super::RequestBuilder::json) do.
    ///
    /// Fails with [`ErrorKind::Invalid`] where the value has no JSON, as a map whose keys are no strings.
    pub fn from_json<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        let text = serde_json::to_vec(value);
        text.map(Body::from).map_err(|error| Error::caused(ErrorKind::Invalid, "the body has no JSON", error))
    }

    /// A stream of pieces, each sent when it is there. One that fails breaks the exchange off.
    ///
    /// ```
    /// use futures::stream;
    /// use runner::http::Body;
    ///
    /// let pieces = ["one, ", "two"].map(Ok::<_, std::convert::Infallible>);
    /// let body = Body::from_stream(stream::iter(pieces));
    /// # assert_eq!(runner::block_on(body.text()).unwrap(), "one, two");
    /// ```
    pub fn from_stream<S, D, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<D, E>> + Send + 'static,
        D: Into<Bytes>,
        E: Into<BoxError>,
    {
        Body::streamed(Pieces(Box::pin(stream)))
    }

    /// Another crate's body, with its trailers.
    pub fn new<B>(body: B) -> Self
    where
        B: HttpBody<Data: Into<Bytes>, Error: Into<BoxError>> + Send + 'static,
    {
        Body::streamed(Foreign(Box::pin(body)))
    }

    pub(crate) fn streamed(body: impl HttpBody<Data = Bytes, Error = Error> + Send + 'static) -> Self {
        Body { inner: Inner::Streamed(Box::pin(body)), read_bytes: READ_BYTES }
    }

    /// How many bytes [`bytes`](Body::bytes), [`text`](Body::text), [`json`](Body::json) and [`form`](Body::form) read into
    /// memory at most: [`READ_BYTES`] unless this is called.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.read_bytes = bytes;
        self
    }

    /// The next piece, as long as there is one: for what is read as it comes. No limit but the guest's memory holds for one
    /// piece; the host gives 64 KiB at most.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut *self).poll_frame(context)).await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// All of it. Fails with [`ErrorKind::TooLarge`] beyond the [limit](Body::limit), and with what the host says of one that
    /// breaks off.
    pub async fn bytes(mut self) -> Result<Bytes> {
        let bound = self.read_bytes;
        let check = |bytes: u64| match bytes > bound as u64 {
            true => {
                let message =
                    format!("the body has more than {bound} bytes: read it piece by piece, or raise its `limit`");
                Err(Error::new(ErrorKind::TooLarge, message))
            }
            false => Ok(()),
        };
        check(self.size_hint().lower())?;
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        check(first.len() as u64)?;
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let mut all = Vec::from(first);
        let mut next = Some(second);
        while let Some(piece) = next {
            check(all.len() as u64 + piece.len() as u64)?;
            all.extend_from_slice(&piece);
            next = self.chunk().await?;
        }
        Ok(all.into())
    }

    /// All of it as text in UTF-8; fails with [`ErrorKind::Decode`] where it is none.
    pub async fn text(self) -> Result<String> {
        let bytes = Vec::from(self.bytes().await?);
        String::from_utf8(bytes).map_err(|error| Error::caused(ErrorKind::Decode, "the body is not UTF-8", error))
    }

    /// All of it as JSON; fails with [`ErrorKind::Decode`] where it is not what was expected.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T> {
        let bytes = self.bytes().await?;
        let value = serde_json::from_slice(&bytes);
        value.map_err(|error| Error::caused(ErrorKind::Decode, "the body is not the JSON that was expected", error))
    }

    /// All of it as a form (`application/x-www-form-urlencoded`); fails with [`ErrorKind::Decode`] where it is not what was
    /// expected.
    pub async fn form<T: DeserializeOwned>(self) -> Result<T> {
        let bytes = self.bytes().await?;
        let value = serde_urlencoded::from_bytes(&bytes);
        value.map_err(|error| Error::caused(ErrorKind::Decode, "the body is not the form that was expected", error))
    }
}

impl Default for Body {
    fn default() -> Self {
        Body::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner {
            Inner::Whole(bytes) => f.debug_tuple("Body").field(&format_args!("{} bytes", bytes.len())).finish(),
            Inner::Streamed(_) => f.debug_tuple("Body").field(&format_args!("..")).finish(),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body { inner: Inner::Whole(bytes), read_bytes: READ_BYTES }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Body::from(Bytes::from(bytes))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Body::from(Bytes::from(text))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Body::from(Bytes::from_static(text.as_bytes()))
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Body::from(Bytes::from_static(bytes))
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Body::empty()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        match &mut self.inner {
            Inner::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Inner::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Inner::Streamed(body) => body.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Whole(bytes) => bytes.is_empty(),
            Inner::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Streamed(body) => body.size_hint(),
        }
    }
}

/// A guest's own stream.
struct Pieces<S>(Pin<Box<S>>);

impl<S, D, E> HttpBody for Pieces<S>
where
    S: Stream<Item = Result<D, E>>,
    D: Into<Bytes>,
    E: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        Poll::Ready(match ready!(self.0.as_mut().poll_next(context)) {
            Some(Ok(piece)) => Some(Ok(Frame::data(piece.into()))),
            Some(Err(error)) => Some(Err(Error::of_body(error.into()))),
            None => None,
        })
    }
}

/// Another crate's body.
struct Foreign<B>(Pin<Box<B>>);

impl<B: HttpBody<Data: Into<Bytes>, Error: Into<BoxError>>> HttpBody for Foreign<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let frame = ready!(self.0.as_mut().poll_frame(context));
        Poll::Ready(frame.map(|frame| match frame {
            Ok(frame) => Ok(frame.map_data(Into::into)),
            Err(error) => Err(Error::of_body(error.into())),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::iter;

    use super::*;
    use crate::block_on;

    /// A body of pieces whose length nobody knows.
    fn pieces(pieces: &'static [&'static str]) -> Body {
        Body::from_stream(iter(pieces.iter().map(|piece| Ok::<_, Error>(*piece))))
    }

    #[test]
    fn what_is_read_at_once_is_as_long_as_its_limit_and_no_longer() {
        for whole in [true, false] {
            let body = |limit| if whole { Body::from("abcdef") } else { pieces(&["ab", "cd", "ef"]) }.limit(limit);
            assert_eq!(block_on(body(6).bytes()).expect("it fits"), "abcdef");
            let error = block_on(body(5).bytes()).expect_err("it does not");
            assert_eq!(error.kind(), ErrorKind::TooLarge);
            let words = "the body has more than 5 bytes: read it piece by piece, or raise its `limit`";
            assert_eq!(error.to_string(), words);
        }
        assert_eq!(block_on(Body::empty().limit(0).bytes()).expect("nothing fits"), "");
    }

    #[test]
    fn what_is_not_what_it_is_read_as_says_so() {
        assert_eq!(block_on(Body::from(vec![b'a', 0xff]).text()).expect_err("it is none").kind(), ErrorKind::Decode);
        assert_eq!(block_on(Body::from("{").json::<u32>()).expect_err("it is none").kind(), ErrorKind::Decode);
        assert_eq!(
            block_on(Body::from("a").form::<[(String, u32); 1]>()).expect_err("it is none").kind(),
            ErrorKind::Decode
        );
        let form: Vec<(String, String)> = block_on(Body::from("a=1&b=%26+%C3%A9").form()).expect("it is one");
        assert_eq!(form, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "& \u{e9}".to_owned())]);
    }

    #[test]
    fn an_error_of_this_crate_passes_through_a_stream_and_another_is_its_cause() {
        let ours = || Err::<&str, _>(Error::new(ErrorKind::Timeout, "too late"));
        let error = block_on(Body::new(Body::from_stream(iter([ours()]))).bytes()).expect_err("it fails");
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Timeout, "too late"));
        let theirs = Err::<&str, _>(std::io::Error::other("no more"));
        let error = block_on(Body::from_stream(iter([Ok("some"), theirs])).bytes()).expect_err("it fails");
        assert_eq!(error.kind(), ErrorKind::Body);
        assert_eq!(std::error::Error::source(&error).expect("its cause").to_string(), "no more");
    }
}
