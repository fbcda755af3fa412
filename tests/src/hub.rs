//! A server that answers as the Hugging Face hub does, for the part of it that gives models: the list of a revision's files, and
//! `resolve`, which has small files itself and redirects to a storage server at another port for those in Git LFS. It keeps what
//! it was asked, and does wrong what it is told to.
//!
//! After the hub's own documentation and the Python library `huggingface_hub` (`file_download.py`, `utils/_http.py`), which
//! works with it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

/// The server, at two ports. Dropped, it stops.
pub struct Hub {
    hub: SocketAddr,
    storage: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    models: BTreeMap<String, Model>,
    /// Old names of models.
    renamed: BTreeMap<String, String>,
    faults: Vec<(String, Fault)>,
    requests: Vec<Request>,
}

/// A model's repository.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// By the name of a branch, `refs/pr/N`, or a tag.
    pub revisions: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Who may see it.
    pub access: Access,
    /// Whether large files are redirected to a path of the hub itself.
    pub relative: bool,
}

/// Who may see a model.
#[derive(Clone, Debug, Default)]
pub enum Access {
    /// Everybody.
    #[default]
    Public,
    /// Whoever has the token; to others it does not exist.
    Private(&'static str),
    /// Whoever has the token; to others it is listed.
    Gated(&'static str),
}

/// What goes wrong, once, with a request whose path has a given part.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A status, with headers.
    Status(u16, &'static [(&'static str, &'static str)]),
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// A byte of the body is another one.
    Corrupt,
    /// The body and its stated length are shorter than the file.
    Short(usize),
    /// The body goes on behind the file's end.
    Long,
    /// Nothing comes for so long.
    Silent(Duration),
    /// A range is not heeded: all of it comes.
    NoRange,
    /// A page, as a network's login would send.
    Page,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `HEAD`.
    pub method: String,
    /// Whether the storage server was asked, not the hub.
    pub is_storage: bool,
    /// Without the query.
    pub path: String,
    /// The header `Authorization`.
    pub authorization: Option<String>,
    /// The header `Range`.
    pub range: Option<String>,
}

impl Default for Hub {
    fn default() -> Hub {
        Hub::start()
    }
}

impl Hub {
    /// On two free ports of 127.0.0.1.
    pub fn start() -> Hub {
        Hub::listen(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// On this address, and a free port for the storage server.
    pub fn listen(address: SocketAddr) -> Hub {
        let listener = TcpListener::bind(address).expect("the address is free");
        let behind = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (hub, storage) = (listener.local_addr().unwrap(), behind.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let stop = Arc::new(AtomicBool::new(false));
        for (listener, is_storage) in [(listener, false), (behind, true)] {
            let (state, stop) = (state.clone(), stop.clone());
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let state = state.clone();
                    // A client that goes away is its own affair.
                    std::thread::spawn(move || stream.and_then(|s| serve(s, &state, is_storage, storage)));
                }
            });
        }
        Hub { hub, storage, state, stop }
    }

    /// As HF_ENDPOINT has it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.hub)
    }

    /// Adds a model, or replaces it.
    pub fn put(&self, name: &str, model: Model) {
        self.state().models.insert(name.to_owned(), model);
    }

    /// Has an old name redirect to a new one.
    pub fn rename(&self, old: &str, new: &str) {
        self.state().renamed.insert(old.to_owned(), new.to_owned());
    }

    /// Has the next request whose path has this part go wrong; several faults one after the other.
    pub fn fault(&self, part: &str, fault: Fault) {
        self.state().faults.push((part.to_owned(), fault));
    }

    /// What was asked since the last time.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state().requests)
    }

    /// The commit of a revision.
    pub fn commit(&self, name: &str, revision: &str) -> String {
        commit(&self.state().models[name].revisions[revision])
    }

    /// Ends it: who asks is refused the connection.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        for address in [self.hub, self.storage] {
            let _ = TcpStream::connect(address);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Model {
    /// Of these files on `main`.
    pub fn of(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Model {
        let revisions = BTreeMap::from([("main".to_owned(), files.into_iter().collect())]);
        Model { revisions, ..Model::default() }
    }

    /// With other files at another revision.
    #[must_use]
    pub fn with(mut self, revision: &str, files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Model {
        self.revisions.insert(revision.to_owned(), files.into_iter().collect());
        self
    }

    /// The files of a branch, or of a commit.
    fn find(&self, revision: &str) -> Option<&BTreeMap<String, Vec<u8>>> {
        self.revisions.get(revision).or_else(|| self.revisions.values().find(|files| commit(files) == revision))
    }
}

/// What an answer is made of.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, headers: Vec::new(), body: body.into() }
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Answer {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// As the hub refuses.
    fn refused(status: u16, code: &str, message: &str) -> Answer {
        let body = json!({ "error": message }).to_string();
        Answer::new(status, body).with("X-Error-Code", code).with("X-Error-Message", message)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, state: &Mutex<State>, is_storage: bool, storage: SocketAddr) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request {
        method,
        is_storage,
        path: target.split('?').next().unwrap_or_default().to_owned(),
        authorization: None,
        range: None,
    };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.authorization = Some(value.trim().to_owned()),
            "range" => request.range = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    if request.path.is_empty() {
        return Ok(()); // the server's own knock
    }
    let (answer, fault) = {
        let mut state = lock(state);
        state.requests.push(request.clone());
        let fault = state.faults.iter().position(|(part, _)| request.path.contains(part));
        let fault = fault.map(|at| state.faults.remove(at).1);
        (answer(&state, &request, &fault, storage), fault)
    };
    write(stream, answer, &request, fault)
}

fn answer(state: &State, request: &Request, fault: &Option<Fault>, storage: SocketAddr) -> Answer {
    match fault {
        Some(Fault::Status(status, headers)) => {
            return headers.iter().fold(Answer::new(*status, "no"), |answer, (name, value)| answer.with(name, *value));
        }
        Some(Fault::Page) => return Answer::new(200, "<!doctype html><title>Log in</title>"),
        _ => {}
    }
    let parts: Vec<String> = request.path.trim_start_matches('/').split('/').map(unescaped).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts[..] {
        ["blob", digest] => blob(state, request, fault, digest),
        _ if request.is_storage => Answer::new(403, "<Error>AccessDenied</Error>"),
        ["api", "models", owner, name] => list(state, request, &format!("{owner}/{name}"), "main"),
        ["api", "models", owner, name, "revision", revision] => {
            list(state, request, &format!("{owner}/{name}"), revision)
        }
        [owner, name, "resolve", revision, ref file @ ..] => {
            resolve(state, request, fault, [&format!("{owner}/{name}"), revision, &file.join("/")], storage)
        }
        _ => Answer::new(404, "not found"),
    }
}

/// The model, if who asks may see it.
fn find<'a>(state: &'a State, request: &Request, name: &str, is_list: bool) -> Result<&'a Model, Answer> {
    if let Some(new) = state.renamed.get(name) {
        return Err(Answer::new(307, "").with("Location", request.path.replacen(name, new, 1)));
    }
    let invalid = "Invalid username or password.";
    let token = request.authorization.as_deref().and_then(|value| value.strip_prefix("Bearer "));
    if token == Some("hf_expired") {
        return Err(Answer::refused(401, "", "Invalid credentials in Authorization header"));
    }
    let missing = || match token {
        None => Answer::refused(401, "RepoNotFound", invalid),
        Some(_) => Answer::refused(404, "RepoNotFound", "Repository not found"),
    };
    let model = state.models.get(name).ok_or_else(missing)?;
    match model.access {
        Access::Private(own) if token != Some(own) => Err(missing()),
        Access::Gated(own) if token != Some(own) && !is_list => {
            let status = if token.is_some() { 403 } else { 401 };
            let message = format!("Access to model {name} is restricted and you are not in the authorized list.");
            Err(Answer::refused(status, "GatedRepo", &message))
        }
        _ => Ok(model),
    }
}

fn list(state: &State, request: &Request, name: &str, revision: &str) -> Answer {
    let model = match find(state, request, name, true) {
        Ok(model) => model,
        Err(answer) => return answer,
    };
    let Some(files) = model.find(revision) else {
        return Answer::refused(404, "RevisionNotFound", &format!("Invalid rev id: {revision}"));
    };
    let siblings: Vec<_> = files.keys().map(|file| json!({ "rfilename": file })).collect();
    let body = json!({
        "_id": "621ffdc136468d709f17b2d5", "id": name, "modelId": name, "sha": commit(files), "private": false,
        "gated": matches!(model.access, Access::Gated(_)), "disabled": false, "siblings": siblings,
    });
    Answer::new(200, body.to_string()).with("Content-Type", "application/json; charset=utf-8")
}

fn resolve(
    state: &State,
    request: &Request,
    fault: &Option<Fault>,
    [name, revision, file]: [&str; 3],
    storage: SocketAddr,
) -> Answer {
    let model = match find(state, request, name, false) {
        Ok(model) => model,
        Err(answer) => return answer,
    };
    let Some(files) = model.find(revision) else {
        return Answer::refused(404, "RevisionNotFound", &format!("Invalid rev id: {revision}"));
    };
    let commit = commit(files);
    let Some(content) = files.get(file) else {
        return Answer::refused(404, "EntryNotFound", "Entry not found").with("X-Repo-Commit", commit);
    };
    if !is_lfs(file) {
        let answer = ranged(request, fault, content);
        return answer.with("ETag", format!("\"{}\"", git_digest(content))).with("X-Repo-Commit", commit);
    }
    let digest = sha256(content);
    let path = format!("/blob/{digest}?X-Amz-Signature=secret");
    let target = if model.relative { path } else { format!("http://{storage}{path}") };
    Answer::new(302, "Found. Redirecting")
        .with("Location", target)
        .with("X-Repo-Commit", commit)
        .with("X-Linked-Etag", format!("\"{digest}\""))
        .with("X-Linked-Size", content.len().to_string())
        .with("ETag", "\"of the redirect alone\"")
        .with("Accept-Ranges", "bytes")
}

/// From the storage server.
fn blob(state: &State, request: &Request, fault: &Option<Fault>, digest: &str) -> Answer {
    // As Amazon's, which takes a signature or a token, not both.
    if request.is_storage && request.authorization.is_some() {
        return Answer::new(400, "<Error><Code>InvalidArgument</Code></Error>");
    }
    let all = state.models.values().flat_map(|model| model.revisions.values()).flat_map(BTreeMap::values);
    match all.into_iter().find(|content| sha256(content) == digest) {
        Some(content) => ranged(request, fault, content).with("ETag", format!("\"{}-2\"", &digest[..32])),
        None => Answer::new(404, "<Error><Code>NoSuchKey</Code></Error>"),
    }
}

/// A content, or the part of it that is asked for.
fn ranged(request: &Request, fault: &Option<Fault>, content: &[u8]) -> Answer {
    let mut content = content.to_vec();
    match fault {
        Some(Fault::Corrupt) => *content.last_mut().unwrap() ^= 1,
        Some(Fault::Short(len)) => content.truncate(*len),
        Some(Fault::Long) => content.extend_from_slice(b"more"),
        _ => {}
    }
    let range = request.range.as_deref().filter(|_| !matches!(fault, Some(Fault::NoRange)));
    let start: Option<usize> = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let len = content.len();
    match start {
        None => Answer::new(200, content),
        Some(start) if start >= len => Answer::new(416, "").with("Content-Range", format!("bytes */{len}")),
        Some(start) => {
            Answer::new(206, &content[start..]).with("Content-Range", format!("bytes {start}-{}/{len}", len - 1))
        }
    }
}

fn write(mut stream: TcpStream, answer: Answer, request: &Request, fault: Option<Fault>) -> io::Result<()> {
    if let Some(Fault::Silent(time)) = fault {
        std::thread::sleep(time);
        return Ok(());
    }
    let mut head =
        format!("HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n", answer.status, answer.body.len());
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    let body = match fault {
        Some(Fault::Cut(len)) => &answer.body[..len.min(answer.body.len())],
        _ => &answer.body,
    };
    stream.write_all(body)
}

/// What the hub keeps in Git LFS, by the usual `.gitattributes`.
fn is_lfs(file: &str) -> bool {
    [".bin", ".safetensors", ".h5", ".msgpack", ".pt", ".onnx"].iter().any(|end| file.ends_with(end))
}

/// A name of 40 digits, of what is in it.
fn commit(files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut all = Vec::new();
    for (name, content) in files {
        all.extend_from_slice(format!("{name}\0{}\0", sha256(content)).as_bytes());
    }
    sha256(&all)[..40].to_owned()
}

/// Of a file that is not in Git LFS.
fn git_digest(content: &[u8]) -> String {
    let object = [format!("blob {}\0", content.len()).as_bytes(), content].concat();
    hex(ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &object).as_ref())
}

/// Of a content.
pub fn sha256(content: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, content).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `refs%2Fpr%2F1` as `refs/pr/1`.
fn unescaped(part: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        let digits = (byte == b'%').then(|| [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')]);
        let escaped = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(byte));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
