//! What must never be reached, whatever it is called: URLs as a guest or a redirect may write them, and answers as a name
//! server may give them. The grant is as wide as one can write it; the addresses alone stand between.

use std::time::Duration;

use runner_host_http::{Caps, Client, ErrorKind, Http};
use serde_json::{Value, json};

use crate::support::{Guest, Names, Server, all_of, body, grant, named, send};

/// URLs that lead inside, or try to be read in two ways; `PORT` is that of a server that notes who comes.
const URLS: &[&str] = &[
    "http://127.0.0.1:PORT/",
    "http://127.0.0.2:PORT/",
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://127.255.255.255:PORT/",
    "http://0x7f.1:PORT/",
    "http://0x7f000001:PORT/",
    "http://0x7F.0x0.0x0.0x1:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://017700000001:PORT/",
    "http://2130706433:PORT/",
    "http://127.0.0.1.:PORT/",
    "http://0:PORT/",
    "http://0.0.0.0:PORT/",
    "http://0.0.0.1:PORT/",
    "http://[::1]:PORT/",
    "http://[::]:PORT/",
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::ffff:7f00:1]:PORT/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[::ffff:0:127.0.0.1]:PORT/",
    "http://[64:ff9b::127.0.0.1]:PORT/",
    "http://[64:ff9b::7f00:1]:PORT/",
    "http://[64:ff9b:1::127.0.0.1]:PORT/",
    "http://[2002:7f00:1::]:PORT/",
    "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]:PORT/",
    "http://[fe80::1]:PORT/",
    "http://[fe80::1%25lo]:PORT/",
    "http://[fec0::1]:PORT/",
    "http://[fc00::1]:PORT/",
    "http://[fd00:ec2::254]:PORT/",
    "http://[ff02::1]:PORT/",
    "http://[2001:db8::1]:PORT/",
    "http://[100::1]:PORT/",
    "http://169.254.169.254:PORT/latest/meta-data/",
    "http://169.254.170.2:PORT/",
    "http://0xa9fea9fe:PORT/",
    "http://2852039166:PORT/",
    "http://0251.0376.0251.0376:PORT/",
    "http://[::ffff:169.254.169.254]:PORT/",
    "http://100.100.100.200:PORT/",
    "http://168.63.129.16:PORT/",
    "http://192.0.0.192:PORT/",
    "http://10.0.0.1:PORT/",
    "http://172.16.0.1:PORT/",
    "http://172.31.255.255:PORT/",
    "http://192.168.0.1:PORT/",
    "http://100.64.0.1:PORT/",
    "http://192.0.2.1:PORT/",
    "http://198.18.0.1:PORT/",
    "http://198.51.100.1:PORT/",
    "http://203.0.113.1:PORT/",
    "http://224.0.0.1:PORT/",
    "http://240.0.0.1:PORT/",
    "http://255.255.255.255:PORT/",
    "http://256.0.0.1:PORT/",
    "http://127.0.0.1:PORT@public.test/",
    "http://public.test@127.0.0.1:PORT/",
    "http://user:pw@127.0.0.1:PORT/",
    "http://%31%32%37.0.0.1:PORT/",
    "http://127.0.0.1%00.public.test:PORT/",
    "http://127.0.0.1#.public.test:PORT/",
    "http://public.test\\@127.0.0.1:PORT/",
    "http://127.0.0.1\\.public.test:PORT/",
    "http://127.0.0.1 .public.test:PORT/",
    "http://[::1:PORT/",
    "http://:PORT/",
    "http://public.test:0/",
    "http://public.test:99999/",
    "gopher://127.0.0.1:PORT/_INFO",
    "file:///etc/passwd",
    "unix:///var/run/docker.sock",
];

/// What a name server may answer for a name that is granted. Each has one answer for each time that it is asked.
const ANSWERS: &[&[&[&str]]] = &[
    &[&["127.0.0.1"]],
    &[&["127.9.9.9"]],
    &[&["::1"]],
    &[&["0.0.0.0"]],
    &[&["::"]],
    &[&["10.0.0.1"]],
    &[&["172.20.0.1"]],
    &[&["192.168.1.1"]],
    &[&["169.254.169.254"]],
    &[&["169.254.1.1"]],
    &[&["100.100.100.200"]],
    &[&["100.64.0.1"]],
    &[&["168.63.129.16"]],
    &[&["::ffff:127.0.0.1"]],
    &[&["::ffff:10.0.0.1"]],
    &[&["::ffff:8.8.8.8"]],
    &[&["::127.0.0.1"]],
    &[&["64:ff9b::127.0.0.1"]],
    &[&["64:ff9b::169.254.169.254"]],
    &[&["64:ff9b:1::a00:1"]],
    &[&["2002:7f00:1::1"]],
    &[&["2002:a9fe:a9fe::1"]],
    &[&["2001::1"]],
    &[&["fe80::1"]],
    &[&["fec0::1"]],
    &[&["fd12:3456::1"]],
    &[&["fd00:ec2::254"]],
    &[&["ff05::2"]],
    &[&["224.0.0.251"]],
    &[&["255.255.255.255"]],
    &[&["192.0.2.7"]],
    &[&["2001:db8::7"]],
    &[&["3fff::7"]],
    &[&["5f00::7"]],
    &[&["127.0.0.1", "10.0.0.1", "::1"]],
    &[&["127.0.0.1"], &["127.0.0.1"]],
    &[&["10.0.0.1"], &["127.0.0.1"]],
];

/// Rules that allow a URL as far as words go: its very host, and every name.
fn widest(url: &str, port: u16) -> Value {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '#', '\\']).next().unwrap_or_default().rsplit('@').next().unwrap_or_default();
    let host = host.strip_suffix(&format!(":{port}")).unwrap_or(host);
    let rule = |host: &str| json!({ "scheme": "http", "host": host, "port": port, "methods": ["*"] });
    let very = json!({ "allow": [rule("*"), rule(host)] });
    match serde_json::from_value::<runner_host_http::Grant>(very.clone()) {
        Ok(_) => very,
        Err(_) => json!({ "allow": [rule("*")] }),
    }
}

#[tokio::test]
async fn no_url_leads_inside() {
    let server = Server::start().await;
    let client = Client::new().resolver(Names::local(&["public.test"]));
    for url in URLS {
        let url = url.replace("PORT", &server.port.to_string());
        let granted = grant(widest(&url, server.port));
        let error = match runner_host_http::Target::parse(&url) {
            Err(error) => error,
            Ok(_) => match send(&client, &granted, &url).await {
                Err(error) => error,
                Ok(response) => panic!("{url} was answered: {response:?}"),
            },
        };
        let kinds = [ErrorKind::AddressDenied, ErrorKind::UriInvalid, ErrorKind::Denied];
        assert!(kinds.contains(&error.kind()), "{url}: {:?} {error}", error.kind());
    }
    assert_eq!(server.connections(), 0, "somebody came");
}

#[tokio::test]
async fn no_url_of_a_guest_leads_inside() {
    let server = Server::start().await;
    // One grant for all of them, with every address that can be named.
    let rule = |host: &str| json!({ "scheme": "http", "host": host, "port": server.port, "methods": ["*"] });
    let hosts = ["*", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254", "10.0.0.1"];
    let guest =
        Guest::new(Http::new().resolver(Names::local(&["public.test"])), json!({ "allow": hosts.map(rule) })).await;
    for url in URLS {
        let url = url.replace("PORT", &server.port.to_string());
        let said = guest.run(&["fetch", &url]).await;
        assert!(said.starts_with("error "), "{url}: {said}");
    }
    assert_eq!(server.connections(), 0, "somebody came");
}

#[tokio::test]
async fn no_name_leads_inside() {
    let server = Server::start().await;
    for answers in ANSWERS {
        let names = Names::new([("name.test", answers.iter().map(|answer| answer.to_vec()).collect())]);
        let client = Client::new().resolver(names.clone());
        let granted = grant(widest("http://name.test/", server.port));
        for time in 1..=2 {
            let error = send(&client, &granted, &server.named("name.test", "/")).await.expect_err("it is refused");
            assert_eq!(error.kind(), ErrorKind::AddressDenied, "{answers:?}: {error}");
            assert_eq!(names.asked("name.test"), time, "{answers:?}: asked once for each connection");
        }
    }
    assert_eq!(server.connections(), 0, "somebody came");
}

#[tokio::test]
async fn a_name_that_changes_between_check_and_dial_is_dialled_where_it_was_checked() {
    let server = Server::start().await;
    // Of a documentation range, so that nobody is there; the rule allows it, and not the server's own address.
    let checked = "192.0.2.1";
    let names = Names::new([("name.test", vec![vec![checked], vec!["127.0.0.1"], vec![checked, "127.0.0.1"]])]);
    let caps = Caps { connect: Duration::from_millis(100), ..Caps::default() };
    let client = Client::new().resolver(names.clone()).caps(caps);
    let granted = grant(json!({ "allow": [
        { "scheme": "http", "host": "name.test", "port": server.port, "addresses": [checked] },
    ] }));
    // Checked and dialled is the first answer; the second is never asked for by the same request.
    let mut kinds = Vec::new();
    for time in 1..=3 {
        let error = send(&client, &granted, &server.named("name.test", "/hello")).await.expect_err("nobody is there");
        assert_eq!(names.asked("name.test"), time, "one request asks once");
        kinds.push(error.kind());
    }
    let unreachable = |kind| matches!(kind, ErrorKind::ConnectTimeout | ErrorKind::ConnectRefused);
    assert!(unreachable(kinds[0]) && unreachable(kinds[2]), "{kinds:?}");
    assert_eq!(kinds[1], ErrorKind::AddressDenied);
    assert_eq!(server.connections(), 0, "somebody came");
}

#[tokio::test]
async fn a_connection_that_was_checked_is_used_on_and_a_new_one_is_checked_again() {
    let server = Server::start().await;
    let names = Names::new([("name.test", vec![vec!["127.0.0.1"], vec!["10.0.0.1"]])]);
    let client = Client::new().resolver(names.clone());
    let granted = grant(json!({ "allow": [named(&server, "name.test")] }));
    for _ in 0..3 {
        let response = send(&client, &granted, &server.named("name.test", "/hello")).await.expect("it is allowed");
        assert_eq!(body(response).await.unwrap(), "hello");
    }
    assert_eq!((names.asked("name.test"), server.connections()), (1, 1));
    // Another grant has no part in that connection: its name is asked for anew.
    let other = grant(json!({ "allow": [named(&server, "name.test")], "caps": { "redirects": 1 } }));
    let error = send(&client, &other, &server.named("name.test", "/hello")).await.expect_err("it has moved inside");
    assert_eq!(error.kind(), ErrorKind::AddressDenied);
}

#[tokio::test]
async fn of_several_addresses_only_the_allowed_are_dialled() {
    let server = Server::start().await;
    let names = Names::new([("name.test", vec![vec!["10.0.0.1", "169.254.169.254", "::1", "127.0.0.1"]])]);
    let client = Client::new().resolver(names);
    let granted = grant(json!({ "allow": [named(&server, "name.test")] }));
    let response = send(&client, &granted, &server.named("name.test", "/hello")).await.expect("one is allowed");
    assert_eq!(body(response).await.unwrap(), "hello");
}

#[tokio::test]
async fn what_the_operator_refuses_is_reached_by_no_grant() {
    let server = Server::start().await;
    let names = Names::local(&["name.test"]);
    let granted = json!({ "allow": [all_of(&server), named(&server, "name.test")] });
    let urls = [server.url("/hello"), server.named("name.test", "/hello")];
    let refused = Http::new().resolver(names.clone()).refuse(["127.0.0.0/16".parse().unwrap()]);
    let guest = Guest::new(refused, granted.clone()).await;
    for url in &urls {
        assert_eq!(guest.run(&["fetch", url]).await, "error ErrorCode::DestinationIpProhibited", "{url}");
    }
    assert_eq!(server.connections(), 0, "somebody came");
    let guest = Guest::new(Http::new().resolver(names).refuse(["127.1.0.0/16".parse().unwrap()]), granted).await;
    for url in &urls {
        assert!(guest.run(&["fetch", url]).await.ends_with("body hello"), "{url}");
    }
}

#[test]
fn the_table_is_long_enough() {
    assert!(URLS.len() + ANSWERS.len() >= 100, "{} and {}", URLS.len(), ANSWERS.len());
}
