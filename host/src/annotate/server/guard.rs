//! Who may ask: pages of this server alone, and beyond loopback those alone who have the token.
//!
//! A page of another site can make a browser send requests here. It can't set the header that
//! changes need (a browser would ask first, and is not answered), and a name of its own that it lets
//! point to this machine is none of those that are answered.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The header that every request has that changes something.
const OWN: &str = "x-askem";
const POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; \
    style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

pub(super) struct Guard {
    address: SocketAddr,
    /// What everybody has to bring who may come from elsewhere.
    token: Option<String>,
}

impl Guard {
    pub(super) fn new(address: SocketAddr) -> Self {
        let token = (!address.ip().is_loopback()).then(|| {
            // Keys that the system has drawn, through a function that does not tell them.
            let secret = RandomState::new();
            let part = |i: u64| format!("{:016x}", secret.hash_one(i));
            part(1) + &part(2)
        });
        Self { address, token }
    }

    pub(super) fn url(&self) -> String {
        match &self.token {
            None => format!("http://{}/", self.address),
            Some(token) => format!("http://{}/?token={token}", self.address),
        }
    }

    /// The cookie that holds the token: servers at several ports share a browser's cookies.
    fn cookie(&self) -> String {
        format!("askem-token-{}", self.address.port())
    }

    /// Why a request is not answered.
    fn refusal(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        headers: &HeaderMap,
    ) -> Option<&'static str> {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let host = text(header::HOST).unwrap_or_default();
        let port = self.address.port();
        let names = ["127.0.0.1", "localhost", "[::1]"].map(|name| format!("{name}:{port}"));
        if self.token.is_none() && !names.iter().any(|name| host.eq_ignore_ascii_case(name)) {
            return Some("this server answers to the name 127.0.0.1 or localhost alone");
        }
        if let Some(token) = &self.token {
            let is_it = |given: &str| is_same(given.as_bytes(), token.as_bytes());
            let cookies = text(header::COOKIE).unwrap_or_default();
            let in_cookie = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
            let has_token =
                in_cookie.filter(|(name, _)| *name == self.cookie()).any(|(_, t)| is_it(t))
                    || token_of(query).is_some_and(is_it);
            if !has_token {
                return Some("open the address that askem annotate has printed, with its token");
            }
        }
        let is_own_origin = |origin: &str| origin == format!("http://{host}");
        if text(header::ORIGIN).is_some_and(|origin| !is_own_origin(origin)) {
            return Some("this request comes from a page of another site");
        }
        let site = text(header::HeaderName::from_static("sec-fetch-site"));
        let is_link = *method == Method::GET && path == "/";
        if site.is_some_and(|site| site == "cross-site") && !is_link {
            return Some("this request comes from a page of another site");
        }
        let changes = ![Method::GET, Method::HEAD].contains(method);
        (changes && !headers.contains_key(OWN)).then_some("the header X-Askem is missing")
    }
}

fn token_of(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("token="))
}

/// Compares without telling by the time how far two agree.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// Answers, or says why not.
pub(super) async fn check(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let query = request.uri().query().unwrap_or_default().to_string();
    let path = request.uri().path().to_string();
    let refusal = guard.refusal(request.method(), &path, &query, request.headers());
    let mut response = match refusal {
        Some(why) => {
            let body = serde_json::json!({ "error": why }).to_string();
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (StatusCode::FORBIDDEN, kind, body).into_response()
        }
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        header::HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    if refusal.is_none()
        && let (Some(token), Some(_)) = (&guard.token, token_of(&query))
        && let Ok(cookie) = HeaderValue::from_str(&format!(
            "{}={token}; HttpOnly; SameSite=Strict; Path=/",
            guard.cookie()
        ))
    {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    #[test]
    fn only_pages_of_this_server_are_answered() {
        let guard = Guard::new("127.0.0.1:8080".parse().unwrap());
        let refused = |method: Method, pairs: &[(&'static str, &str)]| {
            guard.refusal(&method, "/api/patch", "", &headers(pairs)).is_some()
        };
        let here = ("host", "localhost:8080");
        assert!(!refused(Method::GET, &[here]));
        assert!(!refused(Method::GET, &[("host", "127.0.0.1:8080")]));
        assert!(refused(Method::GET, &[]));
        assert!(refused(Method::GET, &[("host", "evil.example:8080")]), "rebinding");
        assert!(refused(Method::GET, &[("host", "localhost:80")]));
        assert!(refused(Method::PUT, &[here]), "no header of its own");
        assert!(!refused(Method::PUT, &[here, (OWN, "1")]));
        assert!(!refused(Method::PUT, &[here, (OWN, "1"), ("origin", "http://localhost:8080")]));
        for origin in ["http://evil.example", "null", "https://localhost:8080", "http://localhost"]
        {
            assert!(refused(Method::PUT, &[here, (OWN, "1"), ("origin", origin)]), "{origin}");
        }
        assert!(refused(Method::POST, &[here, (OWN, "1"), ("sec-fetch-site", "cross-site")]));
        assert!(refused(Method::GET, &[here, ("sec-fetch-site", "cross-site")]), "an image of it");
        let link = headers(&[here, ("sec-fetch-site", "cross-site")]);
        assert!(guard.refusal(&Method::GET, "/", "", &link).is_none(), "a link to it");
    }

    #[test]
    fn beyond_loopback_a_token_is_needed() {
        let guard = Guard::new("192.0.2.1:80".parse().unwrap());
        let token = guard.token.clone().unwrap();
        assert_eq!(token.len(), 32);
        assert_ne!(Guard::new("192.0.2.1:80".parse().unwrap()).token.unwrap(), token);
        let refused = |query: &str, pairs: &[(&'static str, &str)]| {
            guard.refusal(&Method::GET, "/", query, &headers(pairs)).is_some()
        };
        assert!(refused("", &[]) && refused("token=", &[]) && refused("token=abc", &[]));
        assert!(!refused(&format!("token={token}"), &[]));
        assert!(!refused("", &[("cookie", &format!("a=b; {}={token}", guard.cookie()))]));
        assert!(refused("", &[("cookie", &format!("{}={token}x", guard.cookie()))]));
    }
}
