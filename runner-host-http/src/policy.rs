//! Decides whether a request may be sent: a grant, and the numbers that hold for it. It sends nothing.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;

use crate::address::{Range, is_within, refusal};
use crate::error::{Error, ErrorKind, Result};
use crate::grant::{Caps, Grant, SecretGrant};
use crate::target::{Host, Origin, Scheme, Target};

/// What one program may ask of the outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    grant: Grant,
    caps: Caps,
    /// Whatever the grant says.
    refused: Arc<[Range]>,
}

impl Policy {
    /// A grant, with the host's numbers where it names none of its own.
    pub fn new(grant: Grant, host: &Caps) -> Self {
        let caps = grant.caps.over(host);
        Policy { grant, caps, refused: Arc::default() }
    }

    /// The numbers that hold.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// The same, with addresses that are not reached whatever the grant says.
    #[must_use]
    pub fn refuse(self, ranges: impl Into<Arc<[Range]>>) -> Self {
        Policy { refused: ranges.into(), ..self }
    }

    /// Whether a rule allows a request, and which ranges those grant that do, together; or an error that says what was
    /// missing.
    ///
    /// An address that is written as such is checked here; the addresses of a name, by [`reachable`](Self::reachable),
    /// once they are known.
    pub fn allow(&self, method: &Method, target: &Target) -> Result<Vec<Range>> {
        if matches!(*method, Method::CONNECT | Method::TRACE) {
            return Err(Error::new(ErrorKind::MethodInvalid, format!("method `{method}` is never sent")));
        }
        let origin = &target.origin;
        // How far the best rule went tells what to ask for.
        let mut nearest = Nearest::Host;
        let mut granted: Option<Vec<Range>> = None;
        for rule in &self.grant.allow {
            let step = match () {
                () if !rule.host.matches(&origin.host) => Nearest::Host,
                () if rule.scheme != origin.scheme => Nearest::Scheme,
                () if rule.port.unwrap_or(rule.scheme.port()) != origin.port => Nearest::Port,
                () if !rule.methods.iter().any(|pattern| pattern.matches(method)) => Nearest::Method,
                () if !rule.path.holds(&target.path) => Nearest::Path,
                () => {
                    granted.get_or_insert_default().extend_from_slice(&rule.addresses);
                    continue;
                }
            };
            nearest = nearest.max(step);
        }
        let Some(mut granted) = granted else { return Err(nearest.refuse(method, target)) };
        granted.sort_unstable();
        granted.dedup();
        match origin.host {
            Host::Address(address) => match self.refusal(address, &granted) {
                None => Ok(granted),
                Some(why) => Err(Error::new(ErrorKind::AddressDenied, format!("address {address} {why}"))),
            },
            Host::Name(_) => Ok(granted),
        }
    }

    /// Why an address is not reached, in words.
    fn refusal(&self, address: IpAddr, granted: &[Range]) -> Option<String> {
        if is_within(address, &self.refused) {
            return Some("is refused by the host, whatever a grant says".to_owned());
        }
        refusal(address, granted)
            .map(|reason| format!("({reason}) is granted by no `addresses` of the rules that allow the request"))
    }

    /// Of a name's addresses, those that may be dialled; an error where there is none.
    pub fn reachable(&self, name: &str, addresses: &[IpAddr], granted: &[Range]) -> Result<Vec<IpAddr>> {
        let mut refused = None;
        let reachable: Vec<IpAddr> = addresses
            .iter()
            .copied()
            .filter(|address| match self.refusal(*address, granted) {
                None => true,
                Some(why) => {
                    refused.get_or_insert_with(|| format!("{address}, which {why}"));
                    false
                }
            })
            .collect();
        match (reachable.is_empty(), refused) {
            (false, _) => Ok(reachable),
            (true, Some(found)) => Err(Error::new(ErrorKind::AddressDenied, format!("host `{name}` leads to {found}"))),
            (true, None) => Err(Error::new(ErrorKind::NameUnknown, format!("host `{name}` has no address"))),
        }
    }

    /// The secrets that it may use somewhere.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &SecretGrant> {
        self.grant.secrets.iter()
    }

    /// The names of those that a host may be sent, in the open or not.
    pub(crate) fn secrets_of<'a>(&'a self, host: &'a Host) -> impl Iterator<Item = &'a str> {
        let theirs = |secret: &&SecretGrant| secret.hosts.iter().any(|hosts| !hosts.is_any() && hosts.matches(host));
        self.secrets().filter(theirs).map(|secret| secret.name.as_str())
    }

    /// Whether a secret may be sent there, or why not.
    pub(crate) fn allow_secret(&self, name: &str, origin: &Origin) -> Result<()> {
        let mut granted = self.grant.secrets.iter().filter(|secret| secret.name == name).peekable();
        if granted.peek().is_none() {
            return Err(Error::denied(format!("secret `{name}` is not granted")));
        }
        let mut there = granted
            .filter(|secret| secret.hosts.iter().any(|hosts| !hosts.is_any() && hosts.matches(&origin.host)))
            .peekable();
        if there.peek().is_none() {
            return Err(Error::denied(format!("secret `{name}` is not granted to host `{}`", origin.host)));
        }
        match origin.scheme == Scheme::Https || there.any(|secret| secret.plain) {
            true => Ok(()),
            false => {
                Err(Error::denied(format!("secret `{name}` is not sent over `http`: its grant does not say `plain`")))
            }
        }
    }
}

/// How far a request came through a rule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Nearest {
    Host,
    Scheme,
    Port,
    Method,
    Path,
}

impl Nearest {
    fn refuse(self, method: &Method, target: &Target) -> Error {
        let Origin { scheme, host, port } = &target.origin;
        Error::denied(match self {
            Nearest::Host => format!("host `{host}` is in no rule"),
            Nearest::Scheme => format!("scheme `{scheme}` is in no rule for host `{host}`"),
            Nearest::Port => format!("port {port} is in no rule for `{scheme}://{host}`"),
            Nearest::Method => format!("method `{method}` is in no rule for `{}`", target.origin),
            Nearest::Path => match target.path.ambiguity() {
                Some(why) => format!(
                    "path `{}` has {why}, and the rules for `{}` have a path",
                    target.path.as_str(),
                    target.origin
                ),
                None => format!("path `{}` is below no rule's path for `{}`", target.path.as_str(), target.origin),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::Rule;

    fn policy(rules: Vec<Rule>) -> Policy {
        Policy::new(Grant { allow: rules, ..Grant::default() }, &Caps::default())
    }

    #[track_caller]
    fn check(policy: &Policy, method: &str, url: &str, refused: Option<&str>) {
        let found = policy.allow(&method.parse().unwrap(), &Target::parse(url).unwrap());
        match (found, refused) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => assert!(error.message().contains(expected), "{url}: {error}"),
            (Ok(ranges), Some(_)) => panic!("{url} is allowed with {ranges:?}"),
            (Err(error), None) => panic!("{url} is refused: {error}"),
        }
    }

    #[test]
    fn a_request_is_allowed_by_one_rule_or_refused_with_what_is_missing() {
        let rule = || Rule::host("api.example.com").unwrap();
        let policy = policy(vec![
            rule().path("/v1").unwrap(),
            rule().port(8443).methods(["*"]).unwrap(),
            Rule::host("10.0.0.1").unwrap().http(),
            Rule::host("10.0.0.2").unwrap().http().addresses(["10.0.0.2"]).unwrap(),
        ]);
        for (method, url, refused) in [
            ("GET", "https://api.example.com/v1", None),
            ("HEAD", "https://API.example.com.:443/v1/users", None),
            ("PATCH", "https://api.example.com:8443/anything", None),
            ("PURGE", "https://api.example.com:8443/a%2fb", None),
            ("GET", "http://10.0.0.2/", None),
            ("GET", "http://0xa.2/", None),
            ("GET", "https://example.com/v1", Some("host `example.com` is in no rule")),
            ("GET", "http://api.example.com/v1", Some("scheme `http` is in no rule for host `api.example.com`")),
            ("GET", "https://api.example.com:444/v1", Some("port 444 is in no rule for `https://api.example.com`")),
            ("POST", "https://api.example.com/v1", Some("method `POST` is in no rule for `https://api.example.com`")),
            ("GET", "https://api.example.com/v10", Some("path `/v10` is below no rule's path")),
            ("GET", "https://api.example.com/v1/../admin", Some("path `/admin` is below no rule's path")),
            ("GET", "https://api.example.com/v1/%2e%2e/admin", Some("path `/admin` is below no rule's path")),
            ("GET", "https://api.example.com/v1/..;/admin", Some("dots behind an encoding")),
            ("GET", "https://api.example.com/v1/%252e%252e/admin", Some("dots behind an encoding")),
            ("GET", "https://api.example.com/v1/..%2fadmin", Some("an encoded slash")),
            ("GET", "https://api.example.com/v1/..%5cadmin", Some("an encoded slash")),
            ("CONNECT", "https://api.example.com:8443/", Some("never sent")),
            ("TRACE", "https://api.example.com:8443/", Some("never sent")),
            (
                "GET",
                "http://10.0.0.1/",
                Some("address 10.0.0.1 (private) is granted by no `addresses` of the rules that allow"),
            ),
        ] {
            check(&policy, method, url, refused);
        }
        check(&self::policy(vec![]), "GET", "https://example.com/", Some("in no rule"));
    }

    #[test]
    fn of_all_rules_that_allow_a_request_the_addresses_hold_together() {
        let rule =
            |host: &str, addresses: &[&str]| Rule::host(host).unwrap().addresses(addresses.iter().copied()).unwrap();
        let inside = rule("db.internal", &["10.0.0.0/8"]);
        for (rules, url, expected) in [
            // The wide rule first, and last: the order does not matter.
            (vec![rule("*", &[]), inside.clone()], "https://db.internal/", &["10.0.0.0/8"][..]),
            (vec![inside.clone(), rule("*", &[])], "https://db.internal/", &["10.0.0.0/8"]),
            (vec![rule("*", &["fd00::/8"]), inside.clone()], "https://db.internal/", &["10.0.0.0/8", "fd00::/8"]),
            (vec![rule("*", &[]), inside.clone()], "https://other.internal/", &[]),
            // A rule that does not allow the request lends it nothing.
            (vec![rule("*", &[]), inside.clone().path("/v1").unwrap()], "https://db.internal/v2", &[]),
            (vec![rule("*", &[]), inside.clone().port(8443)], "https://db.internal/", &[]),
            (vec![rule("*", &[]), inside.clone().methods(["POST"]).unwrap()], "https://db.internal/", &[]),
            (vec![rule("*", &[]), inside.http()], "https://db.internal/", &[]),
            (vec![rule("10.0.0.1", &[]), rule("10.0.0.1", &["10.0.0.1"])], "https://10.0.0.1/", &["10.0.0.1/32"]),
        ] {
            let found = policy(rules).allow(&Method::GET, &Target::parse(url).unwrap()).unwrap();
            assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{url}");
        }
    }

    #[test]
    fn what_the_host_refuses_no_grant_opens() {
        let all = Rule::host("*").unwrap().addresses(["0.0.0.0/0", "::/0"]).unwrap();
        let literal = |host: &str| Rule::host(host).unwrap().addresses(["0.0.0.0/0", "::/0"]).unwrap();
        let rules =
            vec![all, literal("10.9.0.1"), literal("203.0.113.7"), literal("[::ffff:203.0.113.7]"), literal("8.8.8.8")];
        let refused: Vec<Range> = ["203.0.113.0/24", "10.9.0.0/16"].map(|range| range.parse().unwrap()).into();
        let policy = policy(rules).refuse(refused);
        for (url, words) in [
            ("https://203.0.113.7/", Some("address 203.0.113.7 is refused by the host")),
            ("https://10.9.0.1/", Some("is refused by the host")),
            ("https://[::ffff:203.0.113.7]/", Some("is refused by the host")),
            ("https://8.8.8.8/", None),
        ] {
            check(&policy, "GET", url, words);
        }
        let granted = policy.allow(&Method::GET, &Target::parse("https://a.example/").unwrap()).unwrap();
        let found = ["203.0.113.7", "10.0.0.1", "64:ff9b::203.0.113.7"].map(|address| address.parse().unwrap());
        assert_eq!(policy.reachable("a.example", &found, &granted).unwrap(), [found[1]]);
        let error = policy.reachable("a.example", &found[..1], &granted).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddressDenied);
        assert!(
            error.message().starts_with("host `a.example` leads to 203.0.113.7, which is refused by the host"),
            "{error}"
        );
    }

    #[test]
    fn of_a_name_s_addresses_those_are_dialled_that_may_be() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let granted = ["10.0.0.0/8".parse().unwrap()];
        for (answer, granted, expected) in [
            (&["8.8.8.8"][..], &[][..], Ok(&["8.8.8.8"][..])),
            (&["127.0.0.1", "8.8.8.8", "::1"], &[], Ok(&["8.8.8.8"])),
            (&["10.0.0.1", "8.8.8.8"], &granted, Ok(&["10.0.0.1", "8.8.8.8"])),
            (&["127.0.0.1"], &[], Err("host `a` leads to 127.0.0.1, which (loopback) is granted by no `addresses`")),
            (&["::ffff:8.8.8.8"], &[], Err("IPv4-mapped")),
            (&[], &[], Err("host `a` has no address")),
        ] {
            match (policy(vec![]).reachable("a", &addresses(answer), granted), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, addresses(expected)),
                (Err(error), Err(expected)) => assert!(error.message().contains(expected), "{error}"),
                (found, expected) => panic!("{answer:?}: expected {expected:?}, found {found:?}"),
            }
        }
    }

    #[test]
    fn a_secret_goes_where_it_was_granted() {
        let secret = |name: &str, host: &str, plain| SecretGrant {
            name: name.to_owned(),
            hosts: vec![host.to_owned().try_into().unwrap()],
            plain,
        };
        let secrets =
            vec![secret("KEY", "*.example.com", false), secret("LAX", "a.example.com", true), secret("ANY", "*", true)];
        let policy = Policy::new(Grant { secrets, ..Grant::default() }, &Caps::default());
        for (name, url, refused) in [
            ("KEY", "https://a.example.com", None),
            ("KEY", "https://b.example.com", None),
            ("LAX", "http://a.example.com", None),
            ("LAX", "https://a.example.com", None),
            ("KEY", "http://a.example.com", Some("not sent over `http`")),
            ("KEY", "https://example.com", Some("not granted to host `example.com`")),
            ("LAX", "https://b.example.com", Some("not granted to host")),
            ("ANY", "https://a.example.com", Some("not granted to host")),
            ("OTHER", "https://a.example.com", Some("secret `OTHER` is not granted")),
        ] {
            match (policy.allow_secret(name, &Target::parse(url).unwrap().origin), refused) {
                (Ok(()), None) => {}
                (Err(error), Some(expected)) => assert!(error.message().contains(expected), "{error}"),
                (found, expected) => panic!("{name} {url}: expected {expected:?}, found {found:?}"),
            }
        }
    }
}
