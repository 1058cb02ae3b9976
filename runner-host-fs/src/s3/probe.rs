//! Whether a store does what a commit relies on. Some answer 200 to a write whose condition does not hold, and overwrite: that is
//! found out once, on a key that nobody else uses, before anything depends on it.

use bytes::Bytes;

use super::bucket::{About, Bucket, If};
use super::commit::Heeds;
use super::draft::stamp;
use super::keys::Keys;
use super::trouble::Trouble;
use crate::error::{Error, ErrorKind, Result};

/// Asks the store. [`ErrorKind::Unsupported`] where it does not heed the conditions of writes, with what it did.
pub(crate) async fn probe(bucket: &Bucket, keys: &Keys) -> Result<Heeds> {
    let key = keys.scratch(&stamp());
    let probed = writes(bucket, &key).await;
    // Whatever came of it, nothing is left.
    let removed = bucket.delete(&key, &If::Any).await.map_err(|trouble| trouble.told("a removal", &key));
    let heeds = probed?;
    removed?;
    Ok(heeds)
}

async fn writes(bucket: &Bucket, key: &str) -> Result<Heeds> {
    let told = |trouble: Trouble| trouble.told("the probe", key);
    let put = async |text: &'static str, when: &If| {
        bucket.put(key, Bytes::from_static(text.as_bytes()), when, &About::default()).await
    };
    let first = match put("one", &If::Absent).await {
        // A try whose answer was lost: nobody else has the key.
        Err(Trouble::Refused) => bucket.head(key).await.map_err(told)?.map(|head| head.etag).unwrap_or_default(),
        done => done.map_err(told)?,
    };
    let other = If::Match("\"00000000000000000000000000000000\"".to_owned());
    refused("a PUT with `If-None-Match: *` over an object", put("two", &If::Absent).await, key)?;
    refused("a PUT with `If-Match` of another ETag", put("two", &other).await, key)?;
    match put("three", &If::Match(first)).await {
        // The same.
        Ok(_) | Err(Trouble::Refused) => {}
        Err(trouble) => return Err(told(trouble)),
    }
    // What is uploaded in parts is completed under the same conditions.
    let upload = bucket.create_upload(key, &About::default()).await.map_err(told)?;
    let part = bucket.put_part(key, &upload, 1, Bytes::from_static(b"four")).await.map_err(told)?;
    let parts = [(1, part)];
    let completed = bucket.complete(key, &upload, &parts, &If::Absent).await;
    refused("an upload completed with `If-None-Match: *` over an object", completed, key)?;
    let completed = bucket.complete(key, &upload, &parts, &other).await;
    refused("an upload completed with `If-Match` of another ETag", completed, key)?;
    bucket.abort(key, &upload).await.map_err(told)?;
    // A removal without one is made up for by a look before it.
    let deletes = match bucket.delete(key, &other).await {
        Err(Trouble::Refused) => true,
        Ok(()) | Err(Trouble::Lasting(_) | Trouble::Rejected(_)) => false,
        Err(trouble) => return Err(told(trouble)),
    };
    Ok(Heeds { writes: true, deletes })
}

fn refused<T>(what: &str, answer: Result<T, Trouble>, key: &str) -> Result<()> {
    match answer {
        Err(Trouble::Refused) => Ok(()),
        Ok(_) | Err(Trouble::Lasting(_) | Trouble::Rejected(_) | Trouble::Missing) => {
            let message = format!(
                "the store does not heed conditions of writes: {what} was not refused. Of two calls that write one file, \
                 neither would be told: it may be read, or written with `last_writer_wins`"
            );
            Err(Error::new(ErrorKind::Unsupported, message))
        }
        Err(trouble) => Err(trouble.told("the probe", key)),
    }
}
