//! Where a tracker is: a URL taken apart, checked, and shown without its secrets.
//!
//! A [`TrackerUrl`] holds no byte that could end a line or a word of an HTTP request, so nothing
//! built from it can smuggle a header in.

use std::fmt;
use std::net::IpAddr;

use super::AnnounceFailure;

/// The longest URL accepted, in bytes. Servers commonly refuse more than 8 KiB of request line;
/// half of it leaves room for our query.
const URL_LEN_MAX: usize = 4096;

/// How a tracker is spoken to. There is no other way: not `file:`, not `ws:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// BEP 3 in the clear.
    Http,
    /// BEP 3 over TLS.
    Https,
    /// BEP 15.
    Udp,
}

/// A machine, by name or address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name that must be resolved.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

/// A checked tracker URL. `Display` hides what may be a passkey.
#[derive(Clone, PartialEq, Eq)]
pub struct TrackerUrl {
    scheme: Scheme,
    host: Host,
    port: u16,
    /// From the first slash on, without the fragment; ASCII, begins with a slash.
    target: String,
}

impl TrackerUrl {
    /// Takes a URL apart.
    ///
    /// Bytes of the path that are not ASCII are percent-encoded; names must be ASCII.
    ///
    /// # Errors
    /// [`AnnounceFailure::BadUrl`] if the scheme is not http, https or udp, the host or port is
    /// missing or malformed, or there is white space, a control character or a user name.
    pub fn parse(url: &str) -> Result<Self, AnnounceFailure> {
        if url.len() > URL_LEN_MAX {
            return Err(bad("longer than 4096 bytes"));
        }
        if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(bad("white space or a control character in the URL"));
        }
        let (scheme, rest) = url.split_once("://").ok_or(bad("not a URL"))?;
        let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Scheme::Http, Some(80)),
            "https" => (Scheme::Https, Some(443)),
            "udp" => (Scheme::Udp, None),
            _ => return Err(bad("neither http, https nor udp")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(bad("user names in URLs are not supported"));
        }
        let (host, port) = split_port(authority)?;
        Ok(Self {
            scheme,
            host: parse_host(host)?,
            port: port.or(default_port).ok_or(bad("no port"))?,
            target: encode_target(target),
        })
    }

    /// How the tracker is spoken to.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The machine it runs on.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port, by default that of the scheme.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Path and query as they go into a request line; begins with a slash.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Host and port as a `Host` header wants them: the port only where it is not the default.
    pub fn authority(&self) -> String {
        match (self.scheme, self.port) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => self.host.to_string(),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    /// Where a `Location` header leads to from here (RFC 3986, 5.2): another URL, or a path or a query
    /// on the same host.
    ///
    /// # Errors
    /// As [`TrackerUrl::parse`].
    pub fn join(&self, location: &str) -> Result<Self, AnnounceFailure> {
        if has_scheme(location) {
            return Self::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}", self.scheme));
        }
        let path = self.target.split('?').next().unwrap_or_default();
        let target = match location.chars().next() {
            Some('/') => location.to_owned(),
            Some('?') => format!("{path}{location}"),
            None | Some('#') => self.target.clone(),
            Some(_) => beside(path, location),
        };
        let origin = format!("{}://{}:{}", self.scheme, self.host, self.port);
        Self::parse(&format!("{origin}{target}"))
    }

    /// The same URL with `query` added to its own; `query` is percent-encoded already.
    pub(super) fn with_query(&self, query: &str) -> Self {
        let separator = match self.target.split_once('?') {
            None => "?",
            Some((_, own)) if own.is_empty() || own.ends_with('&') => "",
            Some(_) => "&",
        };
        Self {
            target: format!("{}{separator}{query}", self.target),
            ..self.clone()
        }
    }
}

impl fmt::Display for TrackerUrl {
    /// The URL with every part of the path that may be a passkey, and every query, as `…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority())?;
        let (path, query) = match self.target.split_once('?') {
            Some((path, _)) => (path, "?…"),
            None => (self.target.as_str(), ""),
        };
        for segment in path.split('/').skip(1) {
            let shown = if is_plain_word(segment) {
                segment
            } else {
                "…"
            };
            write!(f, "/{shown}")?;
        }
        f.write_str(query)
    }
}

impl fmt::Debug for TrackerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrackerUrl({self})")
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// Whether a reference names its scheme: a colon comes before anything that could be a path.
fn has_scheme(reference: &str) -> bool {
    let end = reference.find(['/', '?', '#']).unwrap_or(reference.len());
    reference[..end].contains(':')
}

/// A relative path taken from the folder that `path` is in, with the dots resolved (RFC 3986, 5.2.4).
fn beside(path: &str, reference: &str) -> String {
    let (way, rest) = reference.split_at(reference.find(['?', '#']).unwrap_or(reference.len()));
    let folder = path.rfind('/').map_or("", |slash| &path[..slash]);
    let mut segments: Vec<&str> = folder.split('/').skip(1).collect();
    for segment in way.split('/') {
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    if way.ends_with("/.") || way.ends_with("/..") || matches!(way, "." | "..") {
        segments.push("");
    }
    format!("/{}{rest}", segments.join("/"))
}

/// A tracker URL fit for a screen or a log: passkeys hidden, and no more than the scheme shown of
/// what is no tracker URL.
pub fn redacted(url: &str) -> String {
    match (TrackerUrl::parse(url), url.split_once("://")) {
        (Ok(parsed), _) => parsed.to_string(),
        (Err(_), Some((scheme, _))) if is_plain_word(scheme) => format!("{scheme}://…"),
        (Err(_), _) => "…".to_owned(),
    }
}

/// Passkeys are long or have digits in them; `announce` and its like do not.
fn is_plain_word(segment: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphabetic() || matches!(c, '.' | '-' | '_');
    segment.len() <= 16 && segment.chars().all(plain)
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), AnnounceFailure> {
    // The colons inside the brackets of an IPv6 address are none of ours.
    let after_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = authority[after_brackets..].find(':') else {
        return Ok((authority, None));
    };
    let (host, port) = authority.split_at(after_brackets + colon);
    let digits = &port[1..];
    match digits.parse() {
        // `parse` would take a plus sign.
        Ok(port @ 1..) if !digits.starts_with('+') => Ok((host, Some(port))),
        _ => Err(bad("the port is not a number from 1 to 65535")),
    }
}

fn parse_host(host: &str) -> Result<Host, AnnounceFailure> {
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let ip = inner.parse().map_err(|_| bad("not an IPv6 address"))?;
        return Ok(Host::Ip(IpAddr::V6(ip)));
    }
    if let Ok(ip) = host.parse() {
        return Ok(Host::Ip(IpAddr::V4(ip)));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(allowed) {
        return Err(bad("no host name, or characters that none may have"));
    }
    Ok(Host::Name(host.to_ascii_lowercase()))
}

fn encode_target(target: &str) -> String {
    let mut encoded = String::with_capacity(target.len() + 1);
    if !target.starts_with('/') {
        encoded.push('/');
    }
    for byte in target.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`') {
            encoded.push(char::from(byte));
        } else {
            push_percent(&mut encoded, byte);
        }
    }
    encoded
}

/// Appends `%XX`.
pub(super) fn push_percent(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// The bytes that percent-encoded text stands for; `None` where a `%` has no two digits after it.
pub fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, tail) = tail.split_at_checked(2)?;
        let digit = |at: usize| char::from(digits[at]).to_digit(16);
        bytes.push(u8::try_from(digit(0)? * 16 + digit(1)?).ok()?);
        rest = tail;
    }
    Some(bytes)
}

/// One segment of a path, with everything percent-encoded that has a meaning in a URL.
pub fn escaped(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            push_percent(&mut out, byte);
        }
    }
    out
}

fn bad(reason: &str) -> AnnounceFailure {
    AnnounceFailure::BadUrl(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> TrackerUrl {
        TrackerUrl::parse(url).expect("a good URL")
    }

    fn reveal(url: &TrackerUrl) -> String {
        format!("{}://{}{}", url.scheme(), url.authority(), url.target())
    }

    #[test]
    fn parts_are_found_and_defaults_filled_in() {
        let url = parse("HTTP://Example.COM/announce?a=b#c");
        assert_eq!(url.scheme(), Scheme::Http);
        assert_eq!(url.host(), &Host::Name("example.com".to_owned()));
        assert_eq!((url.port(), url.target()), (80, "/announce?a=b"));
        assert_eq!(
            reveal(&parse("https://example.com")),
            "https://example.com/"
        );
        assert_eq!(parse("http://h?x").target(), "/?x");
        assert_eq!(parse("http://[::1]:42/a").authority(), "[::1]:42");
        assert_eq!(parse("http://h/\u{e9}").target(), "/%C3%A9");
    }

    #[test]
    fn what_is_no_tracker_url_is_refused() {
        for url in [
            "http://h:0/",
            "http://h:+80/",
            "http://h:65536/",
            "http://h:/",
            "udp://h/announce",
            "http://user:secret@h/",
            "http://[::1/",
            "http://[v1]/",
            "http://ex\u{e4}mple.com/",
            "http://h/\u{a0}",
            "http://h/\u{7f}",
            "file:///etc/passwd",
            &format!("http://h/{}", "a".repeat(5_000)),
        ] {
            let verdict = TrackerUrl::parse(url);
            assert!(matches!(verdict, Err(AnnounceFailure::BadUrl(_))), "{url}");
        }
    }

    #[test]
    fn a_passkey_is_never_shown() {
        for (url, shown) in [
            ("http://h/announce", "http://h/announce"),
            ("http://h/0123abcd/announce", "http://h/…/announce"),
            (
                "https://h:8443/announce.php?passkey=x",
                "https://h:8443/announce.php?…",
            ),
            (
                "http://h/abcdefabcdefabcdef/announce",
                "http://h/…/announce",
            ),
            ("http://h:x/secret", "http://…"),
            ("mailto:secret", "…"),
        ] {
            assert_eq!(redacted(url), shown);
        }
        assert!(!format!("{:?}", parse("http://h/0123abcd/announce")).contains("0123abcd"));
    }

    #[test]
    fn what_is_escaped_comes_back() {
        for text in ["model-70b.torrent", "a b/c", "100%", "\u{e9}?#&+"] {
            let there = escaped(text);
            assert!(there.bytes().all(|b| b.is_ascii_graphic()), "{there}");
            assert!(!there.contains(['/', '?', '#', '&', '+', ' ']), "{there}");
            assert_eq!(unescaped(&there).as_deref(), Some(text.as_bytes()));
        }
        assert_eq!(unescaped("%4"), None);
        assert_eq!(unescaped("%zz"), None);
        assert_eq!(unescaped("%00").as_deref(), Some(&[0][..]));
    }

    #[test]
    fn a_location_is_read_from_where_it_was_found() {
        let from = parse("https://h:8443/a/announce");
        for (location, target) in [
            ("/b?c", "https://h:8443/b?c"),
            ("//other/b", "https://other/b"),
            ("http://other/b", "http://other/b"),
            ("b", "https://h:8443/a/b"),
            ("b/c?d=e/../f#g", "https://h:8443/a/b/c?d=e/../f"),
            ("./b", "https://h:8443/a/b"),
            ("../b", "https://h:8443/b"),
            ("../../../b", "https://h:8443/b"),
            ("..", "https://h:8443/"),
            ("b/..", "https://h:8443/a/"),
            ("?b=http://c", "https://h:8443/a/announce?b=http://c"),
            ("", "https://h:8443/a/announce"),
        ] {
            assert_eq!(reveal(&from.join(location).expect("good")), target);
        }
        for location in ["gopher://h/", "javascript:b", "h:80/b", "a b"] {
            assert!(from.join(location).is_err(), "{location}");
        }
    }
}
