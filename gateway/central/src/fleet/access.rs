//! Who may come to the fleet page, and by which name: browsers of this machine, and those whom a sign-in in front of the
//! page lets through. Another site must not reach it through the browser of one of them.

use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use kakou_gateway::http::is_foreign;

/// Characters of a name.
pub const LONGEST_NAME: usize = 100;

/// What stands in front of the page.
#[derive(Debug, Clone, Default)]
pub struct Door {
    /// The address in the browsers of those who come, `https://fleet.example`: the proxy in front has it.
    origin: Option<String>,
    /// The header in which that proxy names who has signed in.
    name: Option<HeaderName>,
}

/// Where the name of a person comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// The proxy says it.
    Proven(String),
    /// The proxy should say it, and does not, or not clearly.
    Missing,
    /// Nobody says it: it is asked for.
    Asked,
}

impl Door {
    /// From what is configured.
    pub fn new(origin: Option<&str>, name: Option<&str>) -> Result<Self, String> {
        let bad = |o: &str| format!("`{o}` is no origin: write https://fleet.example, without a path");
        let origin = origin
            .map(|o| {
                let url: Uri = o.trim_end_matches('/').parse().map_err(|_| bad(o))?;
                let scheme = url.scheme_str().filter(|s| matches!(*s, "https" | "http"));
                let authority = url.authority().filter(|a| !a.as_str().contains('@'));
                let bare = matches!(url.path(), "" | "/") && url.query().is_none();
                match (scheme, authority, bare) {
                    (Some(scheme), Some(authority), true) => {
                        Ok(format!("{scheme}://{authority}").to_lowercase())
                    }
                    _ => Err(bad(o)),
                }
            })
            .transpose()?;
        let header = |n: &str| n.parse().map_err(|_| format!("`{n}` is no header: write X-Remote-User"));
        let name = name.map(header).transpose()?;
        Ok(Self { origin, name })
    }

    /// Whether a request comes from another site.
    pub fn is_foreign(&self, method: &Method, headers: &HeaderMap) -> bool {
        let Some(origin) = &self.origin else { return is_foreign(true, method, headers) };
        let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_lowercase);
        let host = text(header::HOST).unwrap_or_default();
        // A proxy passes on the name by which it was asked, or puts its own in the place: that of this machine.
        let local = !is_foreign(true, &Method::GET, headers);
        let public = origin.split_once("://").map_or(origin.as_str(), |(_, authority)| authority);
        if !local && without_port(&host) != without_port(public) {
            return true;
        }
        if method == Method::GET || method == Method::HEAD {
            return false;
        }
        let good =
            |said: &str| said == origin || (local && said.split_once("://").is_some_and(|(_, o)| o == host));
        let site = text(HeaderName::from_static("sec-fetch-site"));
        text(header::ORIGIN).is_some_and(|said| !good(&said))
            || site.is_some_and(|s| s != "same-origin" && s != "none")
    }

    /// Who comes, as far as the proxy says it.
    pub fn name(&self, headers: &HeaderMap) -> Name {
        let Some(header) = &self.name else { return Name::Asked };
        let mut given = headers.get_all(header).iter();
        match (given.next(), given.next()) {
            (Some(one), None) => {
                std::str::from_utf8(one.as_bytes()).ok().and_then(clean).map_or(Name::Missing, Name::Proven)
            }
            // Two names are none.
            (Some(_), Some(_)) | (None, _) => Name::Missing,
        }
    }
}

/// The host of an authority.
fn without_port(authority: &str) -> &str {
    let port = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    port.map_or(authority, |(host, _)| host)
}

/// A name for the record: neither empty nor long, and nothing that a reader of the record would not see.
pub fn clean(name: &str) -> Option<String> {
    let name = name.trim();
    let good =
        !name.is_empty() && name.chars().count() <= LONGEST_NAME && kakou_link::shown::line(name) == name;
    good.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap())).collect()
    }

    #[test]
    fn a_proxy_in_front_is_let_in_with_the_host_that_it_was_asked_for_and_with_its_own() {
        let door = Door::new(Some("https://fleet.example/"), None).unwrap();
        let (public, own) = ("fleet.example", "127.0.0.1:8090");
        let foreign = |method: &Method, all: &[(&'static str, &str)]| door.is_foreign(method, &headers(all));
        for host in [public, "fleet.example:443", "Fleet.Example", own, "localhost:8090"] {
            assert!(!foreign(&Method::GET, &[("host", host)]), "{host}");
            let good =
                [("host", host), ("origin", "https://fleet.example"), ("sec-fetch-site", "same-origin")];
            assert!(!foreign(&Method::POST, &good), "{host}");
            let others = [
                "https://evil.example",
                "http://fleet.example",
                "https://fleet.example.evil.example",
                "null",
            ];
            for other in others {
                assert!(foreign(&Method::POST, &[("host", host), ("origin", other)]), "{host} {other}");
            }
            let across =
                [("host", host), ("origin", "https://fleet.example"), ("sec-fetch-site", "cross-site")];
            assert!(foreign(&Method::POST, &across), "{host}");
        }
        for host in ["evil.example", "fleet.example.evil.example", "", "fleet.example@evil.example"] {
            assert!(foreign(&Method::GET, &[("host", host)]), "{host}");
            assert!(foreign(&Method::POST, &[("host", host), ("origin", "https://fleet.example")]), "{host}");
        }
        assert!(foreign(&Method::GET, &[]));
        // Somebody on this machine, who does not go by the proxy.
        assert!(!foreign(&Method::POST, &[("host", own), ("origin", "http://127.0.0.1:8090")]));
        let port = Door::new(Some("https://fleet.example:8443"), None).unwrap();
        let asked = [("host", "fleet.example:8443"), ("origin", "https://fleet.example:8443")];
        assert!(!port.is_foreign(&Method::POST, &headers(&asked)));
        assert!(
            port.is_foreign(
                &Method::POST,
                &headers(&[("host", public), ("origin", "https://fleet.example")])
            )
        );
    }

    #[test]
    fn without_a_proxy_only_this_machine_is_let_in() {
        let door = Door::default();
        assert!(door.is_foreign(&Method::GET, &headers(&[("host", "fleet.example")])));
        assert!(!door.is_foreign(&Method::GET, &headers(&[("host", "127.0.0.1:8090")])));
        let other = [("host", "127.0.0.1:8090"), ("origin", "https://fleet.example")];
        assert!(door.is_foreign(&Method::POST, &headers(&other)));
    }

    #[test]
    fn a_name_is_believed_only_in_the_header_that_is_configured_and_if_there_is_one() {
        let given = headers(&[("x-remote-user", "li")]);
        assert_eq!(Door::default().name(&given), Name::Asked);
        let door = Door::new(None, Some("X-Remote-User")).unwrap();
        assert_eq!(door.name(&given), Name::Proven("li".into()));
        let mut two = given.clone();
        two.append("x-remote-user", "wang".parse().unwrap());
        for missing in [HeaderMap::new(), two, headers(&[("x-remote-user", "  ")])] {
            assert_eq!(door.name(&missing), Name::Missing);
        }
        let mut chinese = HeaderMap::new();
        let bytes = axum::http::HeaderValue::from_bytes("王芳".as_bytes()).unwrap();
        chinese.insert("x-remote-user", bytes);
        assert_eq!(door.name(&chinese), Name::Proven("王芳".into()));
        assert!(
            clean(&"x".repeat(101)).is_none() && clean("a\u{202e}b").is_none() && clean("a\nb").is_none()
        );
    }

    #[test]
    fn what_is_no_origin_and_no_header_is_said() {
        for bad in
            ["fleet.example", "https://fleet.example/page", "ftp://fleet.example", "https://", "https://u@x"]
        {
            assert!(Door::new(Some(bad), None).is_err(), "{bad}");
        }
        assert!(Door::new(None, Some("X Remote")).is_err());
    }
}
