//! The server in process: what a test can see and do beside the client.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use runner_s3::{BUCKET, Generated, Kind, PART_BYTES_MIN, Server, Settings, pattern};

use crate::support::{body, client, client_with, read, said};

#[tokio::test]
async fn what_the_sdk_writes_the_test_sees_and_what_the_test_writes_the_sdk_reads() {
    let server = Server::start();
    let s3 = client(&server.endpoint());
    let put = s3.put_object().bucket(BUCKET).key("a b/ü+%").body(body(b"hello")).metadata("mode", "644");
    put.if_none_match("*").send().await.unwrap();
    let object = server.get(BUCKET, "a b/ü+%").unwrap();
    assert_eq!(&object.content.bytes()[..], b"hello");
    assert_eq!(object.metadata["mode"], "644");
    assert_eq!(server.objects(BUCKET).into_keys().collect::<Vec<_>>(), ["a b/ü+%"]);

    let etag = server.put_with(BUCKET, "b", "stranger", [("mode", "600")]);
    let got = s3.get_object().bucket(BUCKET).key("b").send().await.unwrap();
    assert_eq!(got.e_tag().unwrap(), format!("\"{etag}\""));
    assert_eq!(got.metadata().unwrap()["mode"], "600");
    assert_eq!(&got.body.collect().await.unwrap().into_bytes()[..], b"stranger");

    assert!(server.remove(BUCKET, "b"));
    assert!(!server.remove(BUCKET, "b"));
    assert_eq!(read(s3.get_object().bucket(BUCKET).key("b").send().await).await, "404 NoSuchKey");
}

#[tokio::test]
async fn each_request_is_in_the_log_in_its_order_until_the_log_is_reset() {
    let server = Server::start();
    let s3 = client(&server.endpoint());
    server.put(BUCKET, "a", "0123456789");
    read(s3.get_object().bucket(BUCKET).key("a").range("bytes=2-4").send().await).await;
    read(s3.get_object().bucket(BUCKET).key("ü").if_match("\"1\"").send().await).await;
    s3.list_objects_v2().bucket(BUCKET).prefix("d/e").send().await.unwrap();
    s3.put_object().bucket(BUCKET).key("a").if_none_match("*").send().await.unwrap_err();
    let lines: Vec<_> = server.requests().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            format!("0 GetObject {BUCKET}/a bytes=2-4 -> 206"),
            format!("1 GetObject {BUCKET}/ü if-match \"1\" -> 404"),
            format!("2 ListObjectsV2 {BUCKET}/ prefix=d/e -> 200"),
            format!("3 PutObject {BUCKET}/a if-none-match * -> 412"),
        ]
    );
    assert_eq!(server.requests()[0].sent, 3);
    let counts: Vec<_> = server.counts().into_iter().collect();
    assert_eq!(counts, [(Kind::GetObject, 2), (Kind::ListObjectsV2, 1), (Kind::PutObject, 1)]);

    assert_eq!(server.log().reset().len(), 4);
    s3.head_object().bucket(BUCKET).key("a").send().await.unwrap();
    let requests = server.requests();
    assert_eq!((requests.len(), requests[0].index, requests[0].kind), (1, 0, Kind::HeadObject));
}

#[tokio::test]
async fn every_kind_of_request_has_its_name() {
    let server = Server::start();
    let s3 = client(&server.endpoint());
    server.put(BUCKET, "a", "x");
    let source = format!("{BUCKET}/a");
    s3.create_bucket().bucket("another").send().await.unwrap();
    s3.head_bucket().bucket("another").send().await.unwrap();
    s3.copy_object().bucket(BUCKET).key("b").copy_source(&source).send().await.unwrap();
    let open = s3.create_multipart_upload().bucket(BUCKET).key("c").send().await.unwrap();
    let id = open.upload_id().unwrap();
    s3.upload_part().bucket(BUCKET).key("c").upload_id(id).part_number(1).send().await.unwrap();
    let copy = s3.upload_part_copy().bucket(BUCKET).key("c").upload_id(id).part_number(2).copy_source(&source);
    copy.send().await.unwrap();
    s3.list_parts().bucket(BUCKET).key("c").upload_id(id).send().await.unwrap();
    s3.list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    s3.complete_multipart_upload().bucket(BUCKET).key("c").upload_id(id).send().await.unwrap_err();
    s3.abort_multipart_upload().bucket(BUCKET).key("c").upload_id(id).send().await.unwrap();
    s3.delete_object().bucket(BUCKET).key("a").send().await.unwrap();
    let kinds: Vec<_> = server.requests().iter().map(|request| request.kind).collect();
    use Kind::*;
    let expected = [
        CreateBucket,
        HeadBucket,
        CopyObject,
        CreateMultipartUpload,
        UploadPart,
        UploadPartCopy,
        ListParts,
        ListMultipartUploads,
        CompleteMultipartUpload,
        AbortMultipartUpload,
        DeleteObject,
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn an_upload_is_open_until_it_is_aborted() {
    let server = Server::start();
    let s3 = client(&server.endpoint());
    let open = s3.create_multipart_upload().bucket(BUCKET).key("a").send().await.unwrap();
    let id = open.upload_id().unwrap();
    s3.upload_part().bucket(BUCKET).key("a").upload_id(id).part_number(3).body(body(b"xyz")).send().await.unwrap();
    let uploads = server.uploads(BUCKET);
    assert_eq!((uploads.len(), uploads[0].key.as_str(), uploads[0].id.as_str()), (1, "a", id));
    assert_eq!(&uploads[0].upload.parts[&3].content.bytes()[..], b"xyz");
    s3.abort_multipart_upload().bucket(BUCKET).key("a").upload_id(id).send().await.unwrap();
    assert!(server.uploads(BUCKET).is_empty());
}

#[tokio::test]
async fn last_modified_is_what_the_clock_of_the_test_shows() {
    let server = Server::start();
    let s3 = client(&server.endpoint());
    server.clock().stop_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    server.put(BUCKET, "a", "");
    server.clock().wind(Duration::from_secs(60));
    s3.put_object().bucket(BUCKET).key("b").send().await.unwrap();
    let list = s3.list_objects_v2().bucket(BUCKET).send().await.unwrap();
    let times: Vec<_> = list.contents().iter().map(|object| object.last_modified().unwrap().secs()).collect();
    assert_eq!(times, [1_000_000_000, 1_000_000_060]);
}

#[tokio::test]
async fn a_million_keys_are_listed_and_none_is_stored() {
    let server = Server::start();
    let s3 = client(&server.endpoint());
    server.generate(BUCKET, Generated::numbered("many/", 1_000_000, 3));
    server.put(BUCKET, "many/00000001x", "stored");
    server.put(BUCKET, "zebra", "stored");
    let page = s3.list_objects_v2().bucket(BUCKET).prefix("many/").send().await.unwrap();
    let keys: Vec<_> = page.contents().iter().map(|object| object.key().unwrap()).collect();
    assert_eq!((keys.len(), keys[0], keys[1], keys[2]), (1000, "many/00000000", "many/00000001", "many/00000001x"));
    let last = s3.list_objects_v2().bucket(BUCKET).start_after("many/00999997").send().await.unwrap();
    let keys: Vec<_> = last.contents().iter().map(|object| object.key().unwrap()).collect();
    assert_eq!(keys, ["many/00999998", "many/00999999", "zebra"]);
    let folders = s3.list_objects_v2().bucket(BUCKET).delimiter("/").send().await.unwrap();
    assert_eq!(folders.common_prefixes()[0].prefix(), Some("many/"));
    assert_eq!(folders.contents()[0].key(), Some("zebra"));

    let (mut token, mut pages, mut listed) = (None, 0, 0);
    loop {
        let page = s3.list_objects_v2().bucket(BUCKET).prefix("many/0012").set_continuation_token(token);
        let page = page.send().await.unwrap();
        (pages, listed) = (pages + 1, listed + page.contents().len());
        token = page.next_continuation_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!((pages, listed), (10, 10_000));

    let mut expected = [0; 3];
    pattern(7, 0, &mut expected);
    let got = s3.get_object().bucket(BUCKET).key("many/00000007").send().await.unwrap();
    assert_eq!(got.body.collect().await.unwrap().into_bytes(), expected[..]);
    assert_eq!(said(&s3.get_object().bucket(BUCKET).key("many/01000000").send().await), "404 NoSuchKey");
    assert_eq!(server.objects(BUCKET).len(), 2);
}

#[tokio::test]
async fn an_object_of_a_tebibyte_is_read_at_any_offset() {
    let server = Server::start();
    let s3 = client(&server.endpoint());
    server.put_computed(BUCKET, "huge", 1 << 40, 5);
    let head = s3.head_object().bucket(BUCKET).key("huge").send().await.unwrap();
    assert_eq!(head.content_length(), Some(1 << 40));
    for (first, len) in [(0, 10), (3, 1_000_000), ((1 << 40) - 9, 9), ((1 << 39) + 5, 4096)] {
        let range = format!("bytes={first}-{}", first + len - 1);
        let got = s3.get_object().bucket(BUCKET).key("huge").range(range).send().await.unwrap();
        let mut expected = vec![0; len as usize];
        pattern(5, first, &mut expected);
        assert_eq!(got.body.collect().await.unwrap().into_bytes(), expected, "{first}");
    }
}

#[test]
fn a_pattern_is_the_same_wherever_one_begins_to_read_it() {
    let mut whole = vec![0; 1000];
    pattern(1, 0, &mut whole);
    for (from, to) in [(0, 1), (1, 9), (7, 8), (8, 16), (13, 1000)] {
        let mut piece = vec![0; to - from];
        pattern(1, from as u64, &mut piece);
        assert_eq!(piece, whole[from..to]);
    }
    let mut other = vec![0; 1000];
    pattern(2, 0, &mut other);
    assert_ne!(whole, other);
}

#[tokio::test]
async fn a_large_body_is_read_back_as_it_was_written_in_parts_and_in_ranges() {
    let server = Server::with(Settings { quick_etags: true, ..Settings::default() });
    let s3 = client(&server.endpoint());
    let mut bytes = vec![0; (PART_BYTES_MIN + 1234) as usize];
    pattern(9, 0, &mut bytes);
    let bytes = Bytes::from(bytes);
    let open = s3.create_multipart_upload().bucket(BUCKET).key("a").send().await.unwrap();
    let id = open.upload_id().unwrap();
    let mut parts = Vec::new();
    for (number, part) in [(1, bytes.slice(..PART_BYTES_MIN as usize)), (2, bytes.slice(PART_BYTES_MIN as usize..))] {
        let sent = s3.upload_part().bucket(BUCKET).key("a").upload_id(id).part_number(number);
        let sent = sent.body(ByteStream::from(part)).send().await.unwrap();
        let part = aws_sdk_s3::types::CompletedPart::builder().part_number(number).e_tag(sent.e_tag().unwrap());
        parts.push(part.build());
    }
    let parts = aws_sdk_s3::types::CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key("a").upload_id(id).multipart_upload(parts);
    let etag = complete.send().await.unwrap().e_tag().unwrap().to_owned();
    assert!(etag.ends_with("-2\""), "{etag}");
    let whole = s3.get_object().bucket(BUCKET).key("a").if_match(&etag).send().await.unwrap();
    assert!(whole.body.collect().await.unwrap().into_bytes() == bytes);
    let seam = PART_BYTES_MIN as usize - 10..PART_BYTES_MIN as usize + 10;
    let range = format!("bytes={}-{}", seam.start, seam.end - 1);
    let piece = s3.get_object().bucket(BUCKET).key("a").range(range).send().await.unwrap();
    assert_eq!(piece.body.collect().await.unwrap().into_bytes(), bytes[seam]);
}

#[tokio::test]
async fn who_does_not_know_the_secret_is_let_in_nowhere() {
    let server = Server::start();
    server.put(BUCKET, "a", "x");
    let stranger = client_with(&server.endpoint(), "another secret");
    assert_eq!(said(&stranger.get_object().bucket(BUCKET).key("a").send().await), "403 SignatureDoesNotMatch");
}

#[tokio::test]
async fn a_body_whose_checksum_does_not_hold_is_refused() {
    let server = Server::start();
    let s3 = client(&server.endpoint());
    let put = s3.put_object().bucket(BUCKET).key("a").body(body(b"hello")).checksum_crc32("AAAAAA==");
    assert_eq!(said(&put.send().await), "400 BadDigest");
    let put = s3.put_object().bucket(BUCKET).key("a").body(body(b"hello")).content_md5("AAAAAAAAAAAAAAAAAAAAAA==");
    assert_eq!(said(&put.send().await), "400 BadDigest");
    assert!(server.get(BUCKET, "a").is_none());
}

#[tokio::test]
async fn a_bucket_in_the_host_name_is_the_same_bucket() {
    let server = Server::start();
    server.put(BUCKET, "a/b", "x");
    let head = format!("HEAD /a/b HTTP/1.1\r\nhost: {BUCKET}.localhost:80\r\n\r\n");
    let answer = plain(&server, &head).await;
    // Unsigned, so that it is refused; what it asked for was read all the same.
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let request = &server.requests()[0];
    assert_eq!((request.kind, request.bucket.as_str(), request.key.as_str()), (Kind::HeadObject, BUCKET, "a/b"));
}

async fn plain(server: &Server, request: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(server.endpoint().address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 1024];
    let len = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..len]).into_owned()
}
