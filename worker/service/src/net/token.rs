//! Bearer tokens: one for users, one for workers. They are compared by digest, in constant time, and never shown.

use std::fmt;
use std::path::Path;

use dqa_proto::refused;
use tonic::service::Interceptor;
use tonic::{Code, Request, Status};

use super::{NetError, Tls};

/// 96 bits in base 64.
pub(super) const CHARACTERS_MIN: usize = 16;

/// A secret that whoever calls must show.
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
    /// The first line of a file.
    ///
    /// # Errors
    /// A file that cannot be read; a token of fewer than 16 characters.
    pub fn read(path: &Path) -> Result<Token, NetError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| NetError::File { what: "token", path: path.to_owned(), source })?;
        let secret = text.lines().next().unwrap_or("").trim();
        if secret.chars().count() < CHARACTERS_MIN {
            return Err(NetError::ShortToken { path: path.to_owned() });
        }
        Ok(Token { secret: secret.to_owned(), digest: blake3::hash(secret.as_bytes()) })
    }

    /// The header's value.
    pub fn header(&self) -> String {
        format!("Bearer {}", self.secret)
    }

    /// Whether a header's value is this token's. The comparison takes the same time for every wrong one.
    pub fn is(&self, header: Option<&str>) -> bool {
        let given = header.and_then(|value| value.strip_prefix("Bearer "));
        given.is_some_and(|given| blake3::hash(given.trim().as_bytes()) == self.digest)
    }

    /// What stands for the token where a client has no place for a header of ours: Ballista's, of shuffled data, names
    /// only its user agent. It cannot be turned back.
    fn flight(&self) -> String {
        blake3::derive_key("dqa 2026 worker token for flight", self.secret.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// What Ballista's client calls itself, to be let in by another worker.
pub fn flight_name(token: Option<&Token>) -> String {
    token.map_or_else(|| "dqa-flight".to_owned(), |token| format!("dqa-flight/{}", token.flight()))
}

/// Who may call what.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// For those who ask for runs.
    pub users: Option<Token>,
    /// For workers.
    pub workers: Option<Token>,
}

/// Lets in who shows one of some tokens, and a certificate where they are asked for; everyone, where nothing is.
#[derive(Clone, Debug)]
pub struct Guard {
    tokens: Vec<Token>,
    flight: Option<String>,
    takes_certified_only: bool,
}

impl Guard {
    /// For whoever has one of these.
    pub fn of<'a>(tokens: impl IntoIterator<Item = &'a Token>) -> Guard {
        Guard { tokens: tokens.into_iter().cloned().collect(), flight: None, takes_certified_only: false }
    }

    /// For other workers' shuffle readers.
    pub fn flight(token: Option<&Token>) -> Guard {
        Guard { flight: token.map(|token| flight_name(Some(token))), ..Guard::of(token) }
    }

    /// The same, behind a port with these certificates: if they name an authority, only who has one of its certificates.
    /// The port itself lets others in, for those who look whether it is alive.
    pub fn behind(self, tls: &Tls) -> Guard {
        Guard { takes_certified_only: tls.is_mutual(), ..self }
    }

    /// Whether these headers let in, from a caller with a certificate or without.
    pub fn admits(&self, is_certified: bool, authorization: Option<&str>, agent: Option<&str>) -> bool {
        let by_agent = |name: &String| {
            let first = agent.unwrap_or("").split(' ').next().unwrap_or("");
            blake3::hash(first.as_bytes()) == blake3::hash(name.as_bytes())
        };
        let has_token = self.tokens.is_empty()
            || self.tokens.iter().any(|token| token.is(authorization))
            || self.flight.as_ref().is_some_and(by_agent);
        has_token && (is_certified || !self.takes_certified_only)
    }
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let header = |name: &str| request.metadata().get(name).and_then(|value| value.to_str().ok());
        let is_certified = request.peer_certs().is_some_and(|certificates| !certificates.is_empty());
        if self.admits(is_certified, header("authorization"), header("user-agent")) {
            return Ok(request);
        }
        let why = if self.takes_certified_only && !is_certified {
            "there is no certificate"
        } else if header("authorization").is_none() {
            "there is no token"
        } else {
            "the token is not the right one"
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
        let guard = Guard::of([&users]);
        assert!(guard.admits(false, Some("Bearer a-secret-of-users-1"), None));
        for wrong in ["Bearer a-secret-of-workers", "a-secret-of-users-1", "Bearer ", "Bearer a-secret-of-users-12"] {
            assert!(!guard.admits(false, Some(wrong), None), "{wrong}");
        }
        assert!(
            !guard.admits(false, None, Some(&flight_name(Some(&users)))),
            "only shuffle readers come by their name"
        );
        let flight = Guard::flight(Some(&workers));
        assert!(flight.admits(false, None, Some(&(flight_name(Some(&workers)) + " tonic/0.14"))));
        assert!(!flight.admits(false, None, Some(&flight_name(Some(&users)))));
        assert!(!flight.admits(false, None, Some("dqa-flight")));
        assert!(Guard::of([]).admits(false, None, None));
    }

    #[test]
    fn it_is_not_shown() {
        assert_eq!(format!("{:?}", token("a-secret-of-users-1")), "Token");
        assert!(!flight_name(Some(&token("a-secret-of-users-1"))).contains("secret"));
    }

    #[test]
    fn a_short_one_is_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "123456789012345\nmore").unwrap();
        assert!(matches!(Token::read(file.path()), Err(NetError::ShortToken { .. })));
    }
}
