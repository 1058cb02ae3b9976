//! What a store is asked, and what S3 answers: one table for all of them. A check has a folder of keys to itself.

use std::future::Future;
use std::pin::Pin;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Delete, MetadataDirective, ObjectIdentifier};
use futures::future::join_all;
use runner_s3::{BUCKET, PART_BYTES_MIN};

use crate::support::{body, read, said};

/// Where a check works.
#[derive(Clone)]
pub(crate) struct Bed {
    pub(crate) s3: Client,
    /// The folder that its keys lie in, with the slash.
    pub(crate) at: String,
}

pub(crate) struct Check {
    pub(crate) name: &'static str,
    /// What S3 answers.
    pub(crate) expected: String,
    pub(crate) run: Run,
}

type Run = Box<dyn FnOnce(Bed) -> Pin<Box<dyn Future<Output = String>>>>;

fn check<F: Future<Output = String> + 'static>(
    name: &'static str,
    expected: &str,
    run: impl FnOnce(Bed) -> F + 'static,
) -> Check {
    Check { name, expected: expected.into(), run: Box::new(|bed| Box::pin(run(bed))) }
}

impl Bed {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.at)
    }

    /// Writes an object and gives its ETag.
    async fn put(&self, name: &str, text: &str) -> String {
        let put = self.s3.put_object().bucket(BUCKET).key(self.key(name)).body(body(text.as_bytes())).send().await;
        put.unwrap_or_else(|error| panic!("`{name}`: {error:?}")).e_tag().unwrap().to_owned()
    }

    async fn get(&self, name: &str) -> String {
        read(self.s3.get_object().bucket(BUCKET).key(self.key(name)).send().await).await
    }

    async fn ranged(&self, text: &str, range: &str) -> String {
        self.put("a", text).await;
        read(self.s3.get_object().bucket(BUCKET).key(self.key("a")).range(range).send().await).await
    }

    /// A listing of the folder below `prefix`: pages with `|` between them, keys and common prefixes without the folder.
    async fn list(&self, prefix: &str, delimiter: Option<&str>, after: Option<&str>, page: Option<i32>) -> String {
        let (mut pages, mut token) = (Vec::new(), None);
        loop {
            let list = self.s3.list_objects_v2().bucket(BUCKET).prefix(self.key(prefix));
            let list = list.set_delimiter(delimiter.map(Into::into)).set_max_keys(page);
            let list = list.set_start_after(after.map(|after| self.key(after))).set_continuation_token(token);
            let list = match list.send().await {
                Ok(list) => list,
                error => return said(&error),
            };
            let keys = list.contents().iter().filter_map(|object| object.key());
            let prefixes = list.common_prefixes().iter().filter_map(|prefix| prefix.prefix());
            let mut names: Vec<_> = keys.chain(prefixes).map(|name| name.replacen(&self.at, "", 1)).collect();
            names.sort();
            pages.push(names.join(" "));
            token = list.next_continuation_token().map(str::to_owned);
            if list.is_truncated() != Some(true) || pages.len() > 20 {
                return pages.join(" | ");
            }
        }
    }

    async fn upload(&self, name: &str) -> String {
        let upload = self.s3.create_multipart_upload().bucket(BUCKET).key(self.key(name)).send().await;
        upload.unwrap().upload_id().unwrap().to_owned()
    }

    async fn part(&self, name: &str, upload: &str, number: i32, bytes: u64, fill: u8) -> CompletedPart {
        let part = self.s3.upload_part().bucket(BUCKET).key(self.key(name)).upload_id(upload).part_number(number);
        let part = part.body(body(&vec![fill; bytes as usize])).send().await.unwrap();
        CompletedPart::builder().part_number(number).e_tag(part.e_tag().unwrap()).build()
    }

    /// Completes an upload under a condition; gives the ETag's part behind the dash.
    async fn complete(&self, name: &str, upload: &str, parts: Vec<CompletedPart>, condition: Condition) -> String {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self.s3.complete_multipart_upload().bucket(BUCKET).key(self.key(name)).upload_id(upload);
        let complete = match condition {
            Condition::None => complete,
            Condition::Absent => complete.if_none_match("*"),
            Condition::Is(etag) => complete.if_match(etag),
        };
        match complete.multipart_upload(parts).send().await {
            Ok(done) => done.e_tag().unwrap().trim_matches('"').split_once('-').unwrap().1.to_owned(),
            error => said(&error),
        }
    }

    /// How many of several writers were told that they had won, and how many were refused.
    async fn race(&self, expected: Option<String>) -> String {
        let writers = (0..8).map(|writer| {
            let put = self.s3.put_object().bucket(BUCKET).key(self.key("a")).body(body(format!("{writer}").as_bytes()));
            match &expected {
                Some(etag) => put.if_match(etag),
                None => put.if_none_match("*"),
            }
            .send()
        });
        let told: Vec<_> = join_all(writers).await.iter().map(said).collect();
        let won: Vec<_> = told.iter().enumerate().filter(|(_, told)| *told == "ok").map(|(place, _)| place).collect();
        let refused = told.iter().filter(|told| told.starts_with("412") || told.starts_with("409")).count();
        let kept = self.get("a").await;
        format!(
            "{} won, {refused} were refused, the winner's is there: {}",
            won.len(),
            won.iter().any(|won| kept == won.to_string())
        )
    }
}

enum Condition {
    None,
    Absent,
    Is(String),
}

const WRONG: &str = "\"00000000000000000000000000000000\"";

pub(crate) fn checks() -> Vec<Check> {
    let mut checks = writes();
    checks.extend(deletes());
    checks.extend(reads());
    checks.extend(copies());
    checks.extend(listings());
    checks.extend(uploads());
    checks.extend(names());
    checks
}

fn writes() -> Vec<Check> {
    vec![
        check("a write if absent, where nothing is", "ok", |bed| async move {
            said(&bed.s3.put_object().bucket(BUCKET).key(bed.key("a")).if_none_match("*").send().await)
        }),
        check("a write if absent, where something is", "412 PreconditionFailed, old", |bed| async move {
            bed.put("a", "old").await;
            let put = bed.s3.put_object().bucket(BUCKET).key(bed.key("a")).if_none_match("*").body(body(b"new"));
            format!("{}, {}", said(&put.send().await), bed.get("a").await)
        }),
        check("a write if absent, where something was deleted", "ok", |bed| async move {
            bed.put("a", "old").await;
            bed.s3.delete_object().bucket(BUCKET).key(bed.key("a")).send().await.unwrap();
            said(&bed.s3.put_object().bucket(BUCKET).key(bed.key("a")).if_none_match("*").send().await)
        }),
        check("a write if unchanged", "ok, new", |bed| async move {
            let etag = bed.put("a", "old").await;
            let put = bed.s3.put_object().bucket(BUCKET).key(bed.key("a")).if_match(etag).body(body(b"new"));
            format!("{}, {}", said(&put.send().await), bed.get("a").await)
        }),
        check("a write if unchanged, of what has changed", "412 PreconditionFailed, newer", |bed| async move {
            let etag = bed.put("a", "old").await;
            bed.put("a", "newer").await;
            let put = bed.s3.put_object().bucket(BUCKET).key(bed.key("a")).if_match(etag).body(body(b"new"));
            format!("{}, {}", said(&put.send().await), bed.get("a").await)
        }),
        check("a write if unchanged, of what is not there", "404 NoSuchKey", |bed| async move {
            said(&bed.s3.put_object().bucket(BUCKET).key(bed.key("a")).if_match(WRONG).send().await)
        }),
        check("eight writers, if absent", "1 won, 7 were refused, the winner's is there: true", |bed| async move {
            bed.race(None).await
        }),
        check("eight writers, if unchanged", "1 won, 7 were refused, the winner's is there: true", |bed| async move {
            let etag = bed.put("a", "old").await;
            bed.race(Some(etag)).await
        }),
        check("an ETag is the MD5", "\"5d41402abc4b2a76b9719d911017c592\"", |bed| async move {
            bed.put("a", "hello").await
        }),
        check("an empty object", "\"d41d8cd98f00b204e9800998ecf8427e\" Some(0)", |bed| async move {
            let etag = bed.put("a", "").await;
            let head = bed.s3.head_object().bucket(BUCKET).key(bed.key("a")).send().await.unwrap();
            format!("{etag} {:?}", head.content_length())
        }),
        check("metadata and type", "644 text/x-check", |bed| async move {
            let put = bed
                .s3
                .put_object()
                .bucket(BUCKET)
                .key(bed.key("a"))
                .metadata("mode", "644")
                .content_type("text/x-check");
            put.send().await.unwrap();
            let head = bed.s3.head_object().bucket(BUCKET).key(bed.key("a")).send().await.unwrap();
            format!("{} {}", head.metadata().unwrap()["mode"], head.content_type().unwrap())
        }),
        check("metadata of 3 KiB", "400 MetadataTooLarge", |bed| async move {
            let put = bed.s3.put_object().bucket(BUCKET).key(bed.key("a")).metadata("target", "x".repeat(3 << 10));
            said(&put.send().await)
        }),
    ]
}

fn deletes() -> Vec<Check> {
    vec![
        check("a delete", "ok, 404 NoSuchKey", |bed| async move {
            bed.put("a", "old").await;
            let delete = said(&bed.s3.delete_object().bucket(BUCKET).key(bed.key("a")).send().await);
            format!("{delete}, {}", bed.get("a").await)
        }),
        check("a delete of what is not there", "ok", |bed| async move {
            said(&bed.s3.delete_object().bucket(BUCKET).key(bed.key("a")).send().await)
        }),
        check("a delete if unchanged", "ok, 404 NoSuchKey", |bed| async move {
            let etag = bed.put("a", "old").await;
            let delete = said(&bed.s3.delete_object().bucket(BUCKET).key(bed.key("a")).if_match(etag).send().await);
            format!("{delete}, {}", bed.get("a").await)
        }),
        check("a delete if unchanged, of what has changed", "412 PreconditionFailed, newer", |bed| async move {
            let etag = bed.put("a", "old").await;
            bed.put("a", "newer").await;
            let delete = said(&bed.s3.delete_object().bucket(BUCKET).key(bed.key("a")).if_match(etag).send().await);
            format!("{delete}, {}", bed.get("a").await)
        }),
        check("a delete if unchanged, of what is not there", "412 PreconditionFailed", |bed| async move {
            said(&bed.s3.delete_object().bucket(BUCKET).key(bed.key("a")).if_match(WRONG).send().await)
        }),
        check("deletes of several", "3 deleted, 0 refused, ", |bed| async move {
            bed.put("a", "").await;
            bed.put("b c", "").await;
            let keys = ["a", "b c", "absent"];
            let objects = keys.map(|name| ObjectIdentifier::builder().key(bed.key(name)).build().unwrap());
            let delete = Delete::builder().set_objects(Some(objects.into())).build().unwrap();
            let done = bed.s3.delete_objects().bucket(BUCKET).delete(delete).send().await.unwrap();
            let (deleted, refused) = (done.deleted().len(), done.errors().len());
            format!("{deleted} deleted, {refused} refused, {}", bed.list("", None, None, None).await)
        }),
        check("deletes of several, if unchanged", "1 deleted, 1 refused, b", |bed| async move {
            let etag = bed.put("a", "").await;
            bed.put("b", "").await;
            let objects = [("a", etag.as_str()), ("b", WRONG)]
                .map(|(name, etag)| ObjectIdentifier::builder().key(bed.key(name)).e_tag(etag).build().unwrap());
            let delete = Delete::builder().set_objects(Some(objects.into())).build().unwrap();
            let done = bed.s3.delete_objects().bucket(BUCKET).delete(delete).send().await.unwrap();
            let (deleted, refused) = (done.deleted().len(), done.errors().len());
            format!("{deleted} deleted, {refused} refused, {}", bed.list("", None, None, None).await)
        }),
    ]
}

fn reads() -> Vec<Check> {
    vec![
        check("a read of what is not there", "404 NoSuchKey", |bed| async move { bed.get("a").await }),
        check("a head of what is not there", "404 NotFound", |bed| async move {
            said(&bed.s3.head_object().bucket(BUCKET).key(bed.key("a")).send().await)
        }),
        check("a range", "bytes 2-4/10: 234", |bed| async move { bed.ranged("0123456789", "bytes=2-4").await }),
        check(
            "a range without an end",
            "bytes 8-9/10: 89",
            |bed| async move { bed.ranged("0123456789", "bytes=8-").await },
        ),
        check(
            "a range from the end",
            "bytes 7-9/10: 789",
            |bed| async move { bed.ranged("0123456789", "bytes=-3").await },
        ),
        check("a range from the end, longer than all", "bytes 0-9/10: 0123456789", |bed| async move {
            bed.ranged("0123456789", "bytes=-99").await
        }),
        check("a range that ends behind the end", "bytes 8-9/10: 89", |bed| async move {
            bed.ranged("0123456789", "bytes=8-99").await
        }),
        check("a range that begins behind the end", "416 InvalidRange", |bed| async move {
            bed.ranged("0123456789", "bytes=10-11").await
        }),
        check("a range of an empty object", "416 InvalidRange", |bed| async move { bed.ranged("", "bytes=0-").await }),
        check("a read if unchanged", "old", |bed| async move {
            let etag = bed.put("a", "old").await;
            read(bed.s3.get_object().bucket(BUCKET).key(bed.key("a")).if_match(etag).send().await).await
        }),
        check("a read if unchanged, of what has changed", "412 PreconditionFailed", |bed| async move {
            let etag = bed.put("a", "old").await;
            bed.put("a", "newer").await;
            read(bed.s3.get_object().bucket(BUCKET).key(bed.key("a")).if_match(etag).send().await).await
        }),
        check("a range if unchanged, of what has changed", "412 PreconditionFailed", |bed| async move {
            let etag = bed.put("a", "old").await;
            bed.put("a", "newer").await;
            let get = bed.s3.get_object().bucket(BUCKET).key(bed.key("a")).if_match(etag).range("bytes=1-2");
            read(get.send().await).await
        }),
        check("a read if it is another one, and it is not", "304", |bed| async move {
            let etag = bed.put("a", "old").await;
            let get = bed.s3.get_object().bucket(BUCKET).key(bed.key("a")).if_none_match(etag).send().await;
            read(get).await.split(' ').next().unwrap().to_owned()
        }),
        check("a read if it is another one, and it is", "old", |bed| async move {
            bed.put("a", "old").await;
            read(bed.s3.get_object().bucket(BUCKET).key(bed.key("a")).if_none_match(WRONG).send().await).await
        }),
        check("a head if unchanged, of what has changed", "412", |bed| async move {
            bed.put("a", "old").await;
            let head = bed.s3.head_object().bucket(BUCKET).key(bed.key("a")).if_match(WRONG).send().await;
            said(&head).split(' ').next().unwrap().to_owned()
        }),
        check(
            "a bucket that is there",
            "ok",
            |bed| async move { said(&bed.s3.head_bucket().bucket(BUCKET).send().await) },
        ),
        check("a bucket that is not there", "404 NoSuchBucket", |bed| async move {
            said(&bed.s3.list_objects_v2().bucket("runner-has-no-such").send().await)
        }),
    ]
}

fn copies() -> Vec<Check> {
    vec![
        check("a copy", "old 644", |bed| async move {
            let put =
                bed.s3.put_object().bucket(BUCKET).key(bed.key("a b+")).metadata("mode", "644").body(body(b"old"));
            put.send().await.unwrap();
            let source = format!("{BUCKET}/{}", bed.key("a%20b%2B"));
            bed.s3.copy_object().bucket(BUCKET).key(bed.key("c")).copy_source(source).send().await.unwrap();
            let head = bed.s3.head_object().bucket(BUCKET).key(bed.key("c")).send().await.unwrap();
            format!("{} {}", bed.get("c").await, head.metadata().unwrap()["mode"])
        }),
        check("a copy with other metadata", "600", |bed| async move {
            bed.put("a", "old").await;
            let copy =
                bed.s3.copy_object().bucket(BUCKET).key(bed.key("b")).copy_source(format!("{BUCKET}/{}", bed.key("a")));
            let copy = copy.metadata_directive(MetadataDirective::Replace).metadata("mode", "600");
            copy.send().await.unwrap();
            let head = bed.s3.head_object().bucket(BUCKET).key(bed.key("b")).send().await.unwrap();
            head.metadata().unwrap()["mode"].clone()
        }),
        check("a copy if unchanged", "ok", |bed| async move {
            let etag = bed.put("a", "old").await;
            let copy =
                bed.s3.copy_object().bucket(BUCKET).key(bed.key("b")).copy_source(format!("{BUCKET}/{}", bed.key("a")));
            said(&copy.copy_source_if_match(etag).send().await)
        }),
        check("a copy if unchanged, of what has changed", "412 PreconditionFailed, 404 NoSuchKey", |bed| async move {
            bed.put("a", "old").await;
            let copy =
                bed.s3.copy_object().bucket(BUCKET).key(bed.key("b")).copy_source(format!("{BUCKET}/{}", bed.key("a")));
            format!("{}, {}", said(&copy.copy_source_if_match(WRONG).send().await), bed.get("b").await)
        }),
        check("a copy if absent, where something is", "412 PreconditionFailed, there", |bed| async move {
            bed.put("a", "old").await;
            bed.put("b", "there").await;
            let copy =
                bed.s3.copy_object().bucket(BUCKET).key(bed.key("b")).copy_source(format!("{BUCKET}/{}", bed.key("a")));
            format!("{}, {}", said(&copy.if_none_match("*").send().await), bed.get("b").await)
        }),
        check("a copy of what is not there", "404 NoSuchKey", |bed| async move {
            let copy =
                bed.s3.copy_object().bucket(BUCKET).key(bed.key("b")).copy_source(format!("{BUCKET}/{}", bed.key("a")));
            said(&copy.send().await)
        }),
        check("a copy onto itself", "400 InvalidRequest", |bed| async move {
            bed.put("a", "old").await;
            let copy =
                bed.s3.copy_object().bucket(BUCKET).key(bed.key("a")).copy_source(format!("{BUCKET}/{}", bed.key("a")));
            said(&copy.send().await)
        }),
        check("a copy onto itself with other metadata", "ok, old", |bed| async move {
            bed.put("a", "old").await;
            let copy =
                bed.s3.copy_object().bucket(BUCKET).key(bed.key("a")).copy_source(format!("{BUCKET}/{}", bed.key("a")));
            let copy = copy.metadata_directive(MetadataDirective::Replace).metadata("mode", "600");
            format!("{}, {}", said(&copy.send().await), bed.get("a").await)
        }),
    ]
}

fn listings() -> Vec<Check> {
    async fn tree(bed: &Bed) {
        for name in ["b", "a/2", "a/1", "c/x/y", "a!", "d"] {
            bed.put(name, "").await;
        }
    }
    vec![
        check("a listing is in the order of bytes", "B a-b a/b a0 ü", |bed| async move {
            for name in ["ü", "a0", "a/b", "a-b", "B"] {
                bed.put(name, "").await;
            }
            let list = bed.s3.list_objects_v2().bucket(BUCKET).prefix(&bed.at).send().await.unwrap();
            let names = list.contents().iter().map(|object| object.key().unwrap().replacen(&bed.at, "", 1));
            names.collect::<Vec<_>>().join(" ")
        }),
        check("a listing by delimiter", "a! a/ b c/ d", |bed| async move {
            tree(&bed).await;
            bed.list("", Some("/"), None, None).await
        }),
        check("a listing of a folder", "a/1 a/2", |bed| async move {
            tree(&bed).await;
            bed.list("a/", Some("/"), None, None).await
        }),
        check("a listing in pages", "a! a/1 | a/2 b | c/x/y d", |bed| async move {
            tree(&bed).await;
            bed.list("", None, None, Some(2)).await
        }),
        check("a listing by delimiter in pages", "a! a/ | b c/ | d", |bed| async move {
            tree(&bed).await;
            bed.list("", Some("/"), None, Some(2)).await
        }),
        check("a listing by delimiter in pages of one", "a! | a/ | b | c/ | d", |bed| async move {
            tree(&bed).await;
            bed.list("", Some("/"), None, Some(1)).await
        }),
        check("a listing behind a key", "b c/x/y d", |bed| async move {
            tree(&bed).await;
            bed.list("", None, Some("a/2"), None).await
        }),
        check("a listing behind a key that is not there", "c/x/y d", |bed| async move {
            tree(&bed).await;
            bed.list("", None, Some("bb"), None).await
        }),
        check("a listing by delimiter behind a key within a folder", "a/ b c/ d", |bed| async move {
            tree(&bed).await;
            bed.list("", Some("/"), Some("a/1"), None).await
        }),
        check("a listing of no keys", "", |bed| async move {
            tree(&bed).await;
            bed.list("", None, None, Some(0)).await
        }),
        check("a listing of what is not there", "", |bed| async move { bed.list("", Some("/"), None, None).await }),
        check("a listing, URL-encoded", "a%20b%2B/%C3%BC", |bed| async move {
            bed.put("a b+/ü", "").await;
            let list = bed.s3.list_objects_v2().bucket(BUCKET).prefix(&bed.at);
            let list = list.encoding_type(aws_sdk_s3::types::EncodingType::Url).send().await.unwrap();
            let key = list.contents()[0].key().unwrap().replace('+', "%20");
            key.rsplit_once("/a").map(|(_, rest)| format!("a{rest}")).unwrap()
        }),
        check("a listing gives sizes and ETags", "5 \"5d41402abc4b2a76b9719d911017c592\"", |bed| async move {
            bed.put("a", "hello").await;
            let list = bed.s3.list_objects_v2().bucket(BUCKET).prefix(&bed.at).send().await.unwrap();
            let object = &list.contents()[0];
            format!("{} {}", object.size().unwrap(), object.e_tag().unwrap())
        }),
        check("a marker of an empty folder", "d/ (d/)", |bed| async move {
            bed.put("d/", "").await;
            format!("{} ({})", bed.list("", Some("/"), None, None).await, bed.list("d/", Some("/"), None, None).await)
        }),
        check("a file beside a folder of its name", "file, below, x x/", |bed| async move {
            bed.put("x", "file").await;
            let below = bed.s3.put_object().bucket(BUCKET).key(bed.key("x/y")).body(body(b"below")).send().await;
            if below.is_err() {
                return said(&below);
            }
            let list = bed.list("", Some("/"), None, None).await;
            format!("{}, {}, {list}", bed.get("x").await, bed.get("x/y").await)
        }),
    ]
}

fn uploads() -> Vec<Check> {
    vec![
        check("an upload in two parts", "2, 5242883, xy", |bed| async move {
            let upload = bed.upload("a").await;
            let parts =
                vec![bed.part("a", &upload, 1, PART_BYTES_MIN, b'x').await, bed.part("a", &upload, 2, 3, b'y').await];
            let done = bed.complete("a", &upload, parts, Condition::None).await;
            let get = bed.s3.get_object().bucket(BUCKET).key(bed.key("a")).range("bytes=5242879-5242880");
            let text = read(get.send().await).await;
            let head = bed.s3.head_object().bucket(BUCKET).key(bed.key("a")).send().await.unwrap();
            format!("{done}, {}, {}", head.content_length().unwrap(), text.split_once(": ").unwrap().1)
        }),
        check(
            "an ETag of parts is the MD5 of their MD5s",
            "\"ba75038fa1683533b60cd651a9451255-1\"",
            |bed| async move {
                let upload = bed.upload("a").await;
                let parts = vec![bed.part("a", &upload, 1, 5, b'x').await];
                bed.complete("a", &upload, parts, Condition::None).await;
                let head = bed.s3.head_object().bucket(BUCKET).key(bed.key("a")).send().await.unwrap();
                head.e_tag().unwrap().to_owned()
            },
        ),
        check("an upload is not seen before it is complete", "404 NoSuchKey, ", |bed| async move {
            let upload = bed.upload("a").await;
            bed.part("a", &upload, 1, 3, b'x').await;
            format!("{}, {}", bed.get("a").await, bed.list("", None, None, None).await)
        }),
        check("an upload if absent, where nothing is", "1", |bed| async move {
            let upload = bed.upload("a").await;
            let parts = vec![bed.part("a", &upload, 1, 3, b'x').await];
            bed.complete("a", &upload, parts, Condition::Absent).await
        }),
        check("an upload if absent, where something is", "412 PreconditionFailed, old", |bed| async move {
            bed.put("a", "old").await;
            let upload = bed.upload("a").await;
            let parts = vec![bed.part("a", &upload, 1, 3, b'x').await];
            let done = bed.complete("a", &upload, parts, Condition::Absent).await;
            format!("{done}, {}", bed.get("a").await)
        }),
        check("an upload that was refused is still open", "412 PreconditionFailed, 1", |bed| async move {
            bed.put("a", "old").await;
            let upload = bed.upload("a").await;
            let parts = vec![bed.part("a", &upload, 1, 3, b'x').await];
            let refused = bed.complete("a", &upload, parts.clone(), Condition::Absent).await;
            format!("{refused}, {}", bed.complete("a", &upload, parts, Condition::None).await)
        }),
        check("an upload if unchanged", "1, xxx", |bed| async move {
            let etag = bed.put("a", "old").await;
            let upload = bed.upload("a").await;
            let parts = vec![bed.part("a", &upload, 1, 3, b'x').await];
            let done = bed.complete("a", &upload, parts, Condition::Is(etag)).await;
            format!("{done}, {}", bed.get("a").await)
        }),
        check("an upload if unchanged, of what has changed", "412 PreconditionFailed, newer", |bed| async move {
            let etag = bed.put("a", "old").await;
            bed.put("a", "newer").await;
            let upload = bed.upload("a").await;
            let parts = vec![bed.part("a", &upload, 1, 3, b'x').await];
            let done = bed.complete("a", &upload, parts, Condition::Is(etag)).await;
            format!("{done}, {}", bed.get("a").await)
        }),
        check("parts out of order", "400 InvalidPartOrder", |bed| async move {
            let upload = bed.upload("a").await;
            let first = bed.part("a", &upload, 1, PART_BYTES_MIN, b'x').await;
            let second = bed.part("a", &upload, 2, PART_BYTES_MIN, b'y').await;
            bed.complete("a", &upload, vec![second, first], Condition::None).await
        }),
        check("a part that is too small", "400 EntityTooSmall", |bed| async move {
            let upload = bed.upload("a").await;
            let parts = vec![bed.part("a", &upload, 1, 3, b'x').await, bed.part("a", &upload, 2, 3, b'y').await];
            bed.complete("a", &upload, parts, Condition::None).await
        }),
        check("a part that was not uploaded", "400 InvalidPart", |bed| async move {
            let upload = bed.upload("a").await;
            bed.part("a", &upload, 1, 3, b'x').await;
            let absent = CompletedPart::builder().part_number(2).e_tag(WRONG).build();
            bed.complete("a", &upload, vec![absent], Condition::None).await
        }),
        check("a part under another ETag", "400 InvalidPart", |bed| async move {
            let upload = bed.upload("a").await;
            bed.part("a", &upload, 1, 3, b'x').await;
            let other = CompletedPart::builder().part_number(1).e_tag(WRONG).build();
            bed.complete("a", &upload, vec![other], Condition::None).await
        }),
        check("a part that is uploaded twice", "1, yyyy", |bed| async move {
            let upload = bed.upload("a").await;
            bed.part("a", &upload, 1, 3, b'x').await;
            let parts = vec![bed.part("a", &upload, 1, 4, b'y').await];
            let done = bed.complete("a", &upload, parts, Condition::None).await;
            format!("{done}, {}", bed.get("a").await)
        }),
        check("an upload that nobody opened", "404 NoSuchUpload", |bed| async move {
            let part = CompletedPart::builder().part_number(1).e_tag(WRONG).build();
            bed.complete("a", "nobody-opened-this", vec![part], Condition::None).await
        }),
        check("an upload that is completed twice", "1, 404 NoSuchUpload", |bed| async move {
            let upload = bed.upload("a").await;
            let parts = vec![bed.part("a", &upload, 1, 3, b'x').await];
            let first = bed.complete("a", &upload, parts.clone(), Condition::None).await;
            format!("{first}, {}", bed.complete("a", &upload, parts, Condition::None).await)
        }),
        check("an upload that was aborted", "ok, 404 NoSuchUpload", |bed| async move {
            let upload = bed.upload("a").await;
            let parts = vec![bed.part("a", &upload, 1, 3, b'x').await];
            let abort =
                bed.s3.abort_multipart_upload().bucket(BUCKET).key(bed.key("a")).upload_id(&upload).send().await;
            format!("{}, {}", said(&abort), bed.complete("a", &upload, parts, Condition::None).await)
        }),
        check("an upload that is aborted twice", "ok, 404 NoSuchUpload", |bed| async move {
            let upload = bed.upload("a").await;
            let abort = || bed.s3.abort_multipart_upload().bucket(BUCKET).key(bed.key("a")).upload_id(&upload).send();
            format!("{}, {}", said(&abort().await), said(&abort().await))
        }),
        check("open uploads are listed", "a b", |bed| async move {
            bed.upload("a").await;
            bed.upload("b").await;
            let list = bed.s3.list_multipart_uploads().bucket(BUCKET).prefix(&bed.at).send().await.unwrap();
            let names = list.uploads().iter().map(|upload| upload.key().unwrap().replacen(&bed.at, "", 1));
            names.collect::<Vec<_>>().join(" ")
        }),
        check("parts are listed", "1:3 7:5", |bed| async move {
            let upload = bed.upload("a").await;
            bed.part("a", &upload, 7, 5, b'x').await;
            bed.part("a", &upload, 1, 3, b'x').await;
            let list = bed.s3.list_parts().bucket(BUCKET).key(bed.key("a")).upload_id(upload).send().await.unwrap();
            let parts =
                list.parts().iter().map(|part| format!("{}:{}", part.part_number().unwrap(), part.size().unwrap()));
            parts.collect::<Vec<_>>().join(" ")
        }),
        check("a part that is copied", "1, 234", |bed| async move {
            let etag = bed.put("source", "0123456789").await;
            let upload = bed.upload("a").await;
            let copy = bed.s3.upload_part_copy().bucket(BUCKET).key(bed.key("a")).upload_id(&upload).part_number(1);
            let copy = copy.copy_source(format!("{BUCKET}/{}", bed.key("source"))).copy_source_range("bytes=2-4");
            let copied = copy.copy_source_if_match(etag).send().await.unwrap();
            let etag = copied.copy_part_result().unwrap().e_tag().unwrap();
            let part = CompletedPart::builder().part_number(1).e_tag(etag).build();
            let done = bed.complete("a", &upload, vec![part], Condition::None).await;
            format!("{done}, {}", bed.get("a").await)
        }),
        check("a part that is copied if unchanged, of what has changed", "412 PreconditionFailed", |bed| async move {
            bed.put("source", "0123456789").await;
            let upload = bed.upload("a").await;
            let copy = bed.s3.upload_part_copy().bucket(BUCKET).key(bed.key("a")).upload_id(&upload).part_number(1);
            let copy = copy.copy_source(format!("{BUCKET}/{}", bed.key("source")));
            said(&copy.copy_source_if_match(WRONG).send().await)
        }),
        check("metadata of an upload", "644", |bed| async move {
            let open = bed.s3.create_multipart_upload().bucket(BUCKET).key(bed.key("a")).metadata("mode", "644");
            let upload = open.send().await.unwrap().upload_id().unwrap().to_owned();
            let parts = vec![bed.part("a", &upload, 1, 3, b'x').await];
            bed.complete("a", &upload, parts, Condition::None).await;
            let head = bed.s3.head_object().bucket(BUCKET).key(bed.key("a")).send().await.unwrap();
            head.metadata().unwrap()["mode"].clone()
        }),
    ]
}

/// Keys that somebody's path handling may choke on: each is written, read and listed.
fn names() -> Vec<Check> {
    const NAMES: [(&str, &str); 16] = [
        ("a key with a space", "a b"),
        ("a key with a plus", "a+b"),
        ("a key with a percent sign", "a%b"),
        ("a key that looks encoded", "a%20b"),
        ("a key with accents", "ü/é"),
        ("a key beyond the first plane", "😀"),
        ("a key with marks of a query", "a?b=c&d#e"),
        ("a key with other marks", "!*'();:@$,[]~^`|<>\"{}"),
        ("a key with a backslash", "a\\b"),
        ("a key with a line's end", "a\nb"),
        ("a key with two slashes", "a//b"),
        ("a key with a slash first", "/a"),
        ("a key with a dot for a folder", "a/./b"),
        ("a key with dots for the folder above", "a/../b"),
        ("a key that begins with a dot", ".a"),
        ("a key that ends with dots", "a.."),
    ];
    let name = |(check_name, key): (&'static str, &'static str)| {
        check(check_name, "read, listed", move |bed| async move {
            let key_of = bed.key(key);
            let put = bed.s3.put_object().bucket(BUCKET).key(&key_of).body(body(key.as_bytes())).send().await;
            if put.is_err() {
                return said(&put);
            }
            let text = bed.get(key).await;
            let list = bed.s3.list_objects_v2().bucket(BUCKET).prefix(&bed.at);
            let list = list.encoding_type(aws_sdk_s3::types::EncodingType::Url).send().await.unwrap();
            let keys: Vec<_> = list.contents().iter().map(|object| object.key().unwrap().replace('+', "%20")).collect();
            let found = keys.iter().any(|one| decoded(one) == key_of);
            let read = if text == key { "read".to_owned() } else { format!("read: {text}") };
            let listed = if found { "listed".to_owned() } else { format!("listed: {keys:?}") };
            format!("{read}, {listed}")
        })
    };
    let mut checks: Vec<_> = NAMES.into_iter().map(name).collect();
    checks.push(check("a key of 1,024 bytes", "ok", |bed| async move {
        let name = "x".repeat(1024 - bed.at.len());
        said(&bed.s3.put_object().bucket(BUCKET).key(bed.key(&name)).send().await)
    }));
    checks.push(check("a key of 1,025 bytes", "400 KeyTooLongError", |bed| async move {
        let name = "x".repeat(1025 - bed.at.len());
        said(&bed.s3.put_object().bucket(BUCKET).key(bed.key(&name)).send().await)
    }));
    checks
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => (bytes.push(byte), rest = &tail[2..]).1,
            None => (bytes.push(*first), rest = tail).1,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
