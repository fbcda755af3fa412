//! Bearer tokens: one for users, one for workers. They are compared by digest, in constant time, and never printed.

use std::fmt;
use std::path::Path;

use dqa_proto::refused;
use tonic::service::Interceptor;
use tonic::{Code, Request, Status};

use super::{NetError, Tls};

/// 16 characters in base 64 are 96 bits.
pub(super) const CHARACTERS_MIN: usize = 16;

/// A secret that callers must present.
#[derive(Clone)]
pub struct Token {
    secret: String,
    digest: blake3::Hash,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// Reads a token from the first line of a file.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or if the token has fewer than 16 characters.
    pub fn read(path: &Path) -> Result<Token, NetError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| NetError::File { kind: "token", path: path.to_owned(), source })?;
        let secret = text.lines().next().unwrap_or("").trim();
        if secret.chars().count() < CHARACTERS_MIN {
            return Err(NetError::ShortToken { path: path.to_owned() });
        }
        Ok(Token { secret: secret.to_owned(), digest: blake3::hash(secret.as_bytes()) })
    }

    /// Returns the value of the `authorization` header.
    pub fn header(&self) -> String {
        format!("Bearer {}", self.secret)
    }

    /// Returns whether a header's value is this token's. The comparison takes the same time for every wrong value.
    pub fn matches(&self, header: Option<&str>) -> bool {
        let given = header.and_then(|value| value.strip_prefix("Bearer "));
        given.is_some_and(|given| blake3::hash(given.trim().as_bytes()) == self.digest)
    }

    /// Returns a key that is derived from the token, for signing the sessions of browsers. The token cannot be computed from
    /// it.
    pub fn session_key(&self) -> [u8; 32] {
        blake3::derive_key("dqa 2026 users' token for sessions of browsers", self.secret.as_bytes())
    }

    /// Returns a key that is derived from the token, for a client that cannot send our header: Ballista's client for
    /// shuffled data sends only its user agent. The token cannot be computed from it.
    fn flight_key(&self) -> String {
        blake3::derive_key("dqa 2026 worker token for flight", self.secret.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Returns the user agent by which another worker admits Ballista's client.
pub fn flight_user_agent(token: Option<&Token>) -> String {
    token.map_or_else(|| "dqa-flight".to_owned(), |token| format!("dqa-flight/{}", token.flight_key()))
}

/// The tokens of a coordinator.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// The token of the users' service.
    pub users: Option<Token>,
    /// The token of the workers' services.
    pub workers: Option<Token>,
}

/// Admits callers with one of the tokens, and with a certificate if the port requires one. A guard without tokens
/// admits everyone.
#[derive(Clone, Debug)]
pub struct Guard {
    tokens: Vec<Token>,
    flight: Option<String>,
    requires_certificate: bool,
}

impl Guard {
    /// Creates a guard that admits callers with one of the tokens.
    pub fn new<'a>(tokens: impl IntoIterator<Item = &'a Token>) -> Guard {
        Guard { tokens: tokens.into_iter().cloned().collect(), flight: None, requires_certificate: false }
    }

    /// Creates a guard that admits other workers' shuffle clients.
    pub fn for_flight(token: Option<&Token>) -> Guard {
        Guard { flight: token.map(|token| flight_user_agent(Some(token))), ..Guard::new(token) }
    }

    /// Returns the guard for a port with these certificates: with an authority it requires a certificate of it. The
    /// port itself accepts other callers, for health checks.
    pub fn with_tls(self, tls: &Tls) -> Guard {
        Guard { requires_certificate: tls.is_mutual(), ..self }
    }

    /// Returns whether a caller with these headers is admitted.
    pub fn admits(&self, is_certified: bool, authorization: Option<&str>, agent: Option<&str>) -> bool {
        let is_agent = |name: &String| {
            let first = agent.unwrap_or("").split(' ').next().unwrap_or("");
            blake3::hash(first.as_bytes()) == blake3::hash(name.as_bytes())
        };
        let has_token = self.tokens.is_empty()
            || self.tokens.iter().any(|token| token.matches(authorization))
            || self.flight.as_ref().is_some_and(is_agent);
        has_token && (is_certified || !self.requires_certificate)
    }
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let header = |name: &str| request.metadata().get(name).and_then(|value| value.to_str().ok());
        let is_certified = request.peer_certs().is_some_and(|certificates| !certificates.is_empty());
        if self.admits(is_certified, header("authorization"), header("user-agent")) {
            return Ok(request);
        }
        let why = if self.requires_certificate && !is_certified {
            "the certificate is missing"
        } else if header("authorization").is_none() {
            "the token is missing"
        } else {
            "the token is invalid"
        };
        Err(refused(Code::Unauthenticated, "unauthenticated", why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(secret: &str) -> Token {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), secret).unwrap();
        Token::read(file.path()).unwrap()
    }

    #[test]
    fn only_the_right_token_is_let_in() {
        let (users, workers) = (token("a-secret-of-users-1\n"), token("a-secret-of-workers"));
        let guard = Guard::new([&users]);
        assert!(guard.admits(false, Some("Bearer a-secret-of-users-1"), None));
        for wrong in ["Bearer a-secret-of-workers", "a-secret-of-users-1", "Bearer ", "Bearer a-secret-of-users-12"] {
            assert!(!guard.admits(false, Some(wrong), None), "{wrong}");
        }
        assert!(
            !guard.admits(false, None, Some(&flight_user_agent(Some(&users)))),
            "only shuffle readers come by their name"
        );
        let flight = Guard::for_flight(Some(&workers));
        assert!(flight.admits(false, None, Some(&(flight_user_agent(Some(&workers)) + " tonic/0.14"))));
        assert!(!flight.admits(false, None, Some(&flight_user_agent(Some(&users)))));
        assert!(!flight.admits(false, None, Some("dqa-flight")));
        assert!(Guard::new([]).admits(false, None, None));
    }

    #[test]
    fn it_is_not_shown() {
        assert_eq!(format!("{:?}", token("a-secret-of-users-1")), "Token");
        assert!(!flight_user_agent(Some(&token("a-secret-of-users-1"))).contains("secret"));
    }

    #[test]
    fn a_short_one_is_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "123456789012345\nmore").unwrap();
        assert!(matches!(Token::read(file.path()), Err(NetError::ShortToken { .. })));
    }
}
