//! A mock of the Hugging Face hub, for the part of it that serves models: the list of a revision's files, and `resolve`,
//! which serves small files itself and redirects to a storage server at another port for files in Git LFS. It records the
//! requests, and injects the faults that a test asks for.
//!
//! It follows the hub's documentation and the Python library `huggingface_hub` (`file_download.py`, `utils/_http.py`),
//! which works with it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

/// The mock server, on two ports. It stops when it is dropped.
pub struct Hub {
    hub: SocketAddr,
    storage: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    models: BTreeMap<String, Model>,
    /// New names of renamed models, by their old names.
    renamed: BTreeMap<String, String>,
    faults: Vec<(String, Fault)>,
    requests: Vec<Request>,
}

/// A model's repository.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The files of each revision, by the name of a branch, `refs/pr/N` or a tag.
    pub revisions: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// The clients that may read the model.
    pub access: Access,
    /// Whether large files are redirected to a path of the hub itself.
    pub relative: bool,
}

/// The clients that may read a model.
#[derive(Clone, Debug, Default)]
pub enum Access {
    /// Every client may read it.
    #[default]
    Public,
    /// Clients with this token may read it; for others it does not exist.
    Private(&'static str),
    /// Clients with this token may read it; others may only list its files.
    Gated(&'static str),
}

/// A fault that is injected once, into a request whose path contains a given part.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The answer has this status and these headers.
    Status(u16, &'static [(&'static str, &'static str)]),
    /// The connection is closed after this number of bytes of the body.
    Disconnect(usize),
    /// One byte of the body is changed.
    Corrupt,
    /// The body and its `Content-Length` are cut to this number of bytes.
    Truncate(usize),
    /// The body continues after the end of the file.
    Extend,
    /// The server sends nothing for this time, and then closes the connection.
    Stall(Duration),
    /// The header `Range` is ignored: the whole file is sent.
    IgnoreRange,
    /// The answer is an HTML page, as a captive portal sends it.
    HtmlPage,
}

/// A request that the mock received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `HEAD`.
    pub method: String,
    /// Whether the storage server received it, not the hub.
    pub is_storage: bool,
    /// The path without the query.
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
    /// Starts a mock on two free ports of 127.0.0.1.
    pub fn start() -> Hub {
        Hub::listen(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts a mock on `address`, with the storage server on a free port.
    pub fn listen(address: SocketAddr) -> Hub {
        let listener = TcpListener::bind(address).expect("the address is free");
        let storage_listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (hub, storage) = (listener.local_addr().unwrap(), storage_listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let stop = Arc::new(AtomicBool::new(false));
        for (listener, is_storage) in [(listener, false), (storage_listener, true)] {
            let (state, stop) = (state.clone(), stop.clone());
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let state = state.clone();
                    // A client that disconnects is not a failure of the mock.
                    std::thread::spawn(move || stream.and_then(|s| serve(s, &state, is_storage, storage)));
                }
            });
        }
        Hub { hub, storage, state, stop }
    }

    /// Returns the URL of the hub for `HF_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.hub)
    }

    /// Adds or replaces a model.
    pub fn add_model(&self, name: &str, model: Model) {
        self.state().models.insert(name.to_owned(), model);
    }

    /// Redirects requests for an old name of a model to its new name.
    pub fn rename(&self, old: &str, new: &str) {
        self.state().renamed.insert(old.to_owned(), new.to_owned());
    }

    /// Injects `fault` into the next request whose path contains `part`. Several faults for one part apply one after the
    /// other.
    pub fn inject_fault(&self, part: &str, fault: Fault) {
        self.state().faults.push((part.to_owned(), fault));
    }

    /// Returns the requests since the last call.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state().requests)
    }

    /// Returns the commit of a revision.
    pub fn commit(&self, name: &str, revision: &str) -> String {
        commit(&self.state().models[name].revisions[revision])
    }

    /// Stops the mock: new connections are refused.
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
    /// Creates a model with these files on `main`.
    pub fn new(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Model {
        let revisions = BTreeMap::from([("main".to_owned(), files.into_iter().collect())]);
        Model { revisions, ..Model::default() }
    }

    /// Adds a revision with these files.
    #[must_use]
    pub fn with_revision(mut self, revision: &str, files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Model {
        self.revisions.insert(revision.to_owned(), files.into_iter().collect());
        self
    }

    /// Returns the files of a branch or a commit.
    fn files_at(&self, revision: &str) -> Option<&BTreeMap<String, Vec<u8>>> {
        self.revisions.get(revision).or_else(|| self.revisions.values().find(|files| commit(files) == revision))
    }
}

/// An HTTP response.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, headers: Vec::new(), body: body.into() }
    }

    fn with_header(mut self, name: &str, value: impl Into<String>) -> Answer {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Returns a refusal in the format of the hub.
    fn refused(status: u16, code: &str, message: &str) -> Answer {
        let body = json!({ "error": message }).to_string();
        Answer::new(status, body).with_header("X-Error-Code", code).with_header("X-Error-Message", message)
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
        return Ok(()); // the connection that `Hub::stop` makes
    }
    let (answer, fault) = {
        let mut state = lock(state);
        state.requests.push(request.clone());
        let fault = state.faults.iter().position(|(part, _)| request.path.contains(part));
        let fault = fault.map(|index| state.faults.remove(index).1);
        (answer(&state, &request, &fault, storage), fault)
    };
    write(stream, answer, &request, fault)
}

fn answer(state: &State, request: &Request, fault: &Option<Fault>, storage: SocketAddr) -> Answer {
    match fault {
        Some(Fault::Status(status, headers)) => {
            return headers
                .iter()
                .fold(Answer::new(*status, "no"), |answer, (name, value)| answer.with_header(name, *value));
        }
        Some(Fault::HtmlPage) => return Answer::new(200, "<!doctype html><title>Log in</title>"),
        _ => {}
    }
    let parts: Vec<String> = request.path.trim_start_matches('/').split('/').map(percent_decode).collect();
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

/// Returns the model if the client may read it.
fn find_model<'a>(state: &'a State, request: &Request, name: &str, is_list: bool) -> Result<&'a Model, Answer> {
    if let Some(new) = state.renamed.get(name) {
        return Err(Answer::new(307, "").with_header("Location", request.path.replacen(name, new, 1)));
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
        Access::Private(required) if token != Some(required) => Err(missing()),
        Access::Gated(required) if token != Some(required) && !is_list => {
            let status = if token.is_some() { 403 } else { 401 };
            let message = format!("Access to model {name} is restricted and you are not in the authorized list.");
            Err(Answer::refused(status, "GatedRepo", &message))
        }
        _ => Ok(model),
    }
}

fn list(state: &State, request: &Request, name: &str, revision: &str) -> Answer {
    let model = match find_model(state, request, name, true) {
        Ok(model) => model,
        Err(answer) => return answer,
    };
    let Some(files) = model.files_at(revision) else {
        return Answer::refused(404, "RevisionNotFound", &format!("Invalid rev id: {revision}"));
    };
    let siblings: Vec<_> = files.keys().map(|file| json!({ "rfilename": file })).collect();
    let body = json!({
        "_id": "621ffdc136468d709f17b2d5", "id": name, "modelId": name, "sha": commit(files), "private": false,
        "gated": matches!(model.access, Access::Gated(_)), "disabled": false, "siblings": siblings,
    });
    Answer::new(200, body.to_string()).with_header("Content-Type", "application/json; charset=utf-8")
}

fn resolve(
    state: &State,
    request: &Request,
    fault: &Option<Fault>,
    [name, revision, file]: [&str; 3],
    storage: SocketAddr,
) -> Answer {
    let model = match find_model(state, request, name, false) {
        Ok(model) => model,
        Err(answer) => return answer,
    };
    let Some(files) = model.files_at(revision) else {
        return Answer::refused(404, "RevisionNotFound", &format!("Invalid rev id: {revision}"));
    };
    let commit = commit(files);
    let Some(content) = files.get(file) else {
        return Answer::refused(404, "EntryNotFound", "Entry not found").with_header("X-Repo-Commit", commit);
    };
    if !is_lfs(file) {
        let answer = ranged(request, fault, content);
        return answer.with_header("ETag", format!("\"{}\"", git_digest(content))).with_header("X-Repo-Commit", commit);
    }
    let digest = sha256(content);
    let path = format!("/blob/{digest}?X-Amz-Signature=secret");
    let target = if model.relative { path } else { format!("http://{storage}{path}") };
    Answer::new(302, "Found. Redirecting")
        .with_header("Location", target)
        .with_header("X-Repo-Commit", commit)
        .with_header("X-Linked-Etag", format!("\"{digest}\""))
        .with_header("X-Linked-Size", content.len().to_string())
        .with_header("ETag", "\"of the redirect alone\"")
        .with_header("Accept-Ranges", "bytes")
}

/// Returns a file from the storage server.
fn blob(state: &State, request: &Request, fault: &Option<Fault>, digest: &str) -> Answer {
    // Like Amazon S3, which accepts a signature or a token, not both.
    if request.is_storage && request.authorization.is_some() {
        return Answer::new(400, "<Error><Code>InvalidArgument</Code></Error>");
    }
    let all = state.models.values().flat_map(|model| model.revisions.values()).flat_map(BTreeMap::values);
    match all.into_iter().find(|content| sha256(content) == digest) {
        Some(content) => ranged(request, fault, content).with_header("ETag", format!("\"{}-2\"", &digest[..32])),
        None => Answer::new(404, "<Error><Code>NoSuchKey</Code></Error>"),
    }
}

/// Returns the content, or the range of it that the request asks for.
fn ranged(request: &Request, fault: &Option<Fault>, content: &[u8]) -> Answer {
    let mut content = content.to_vec();
    match fault {
        Some(Fault::Corrupt) => *content.last_mut().unwrap() ^= 1,
        Some(Fault::Truncate(len)) => content.truncate(*len),
        Some(Fault::Extend) => content.extend_from_slice(b"more"),
        _ => {}
    }
    let range = request.range.as_deref().filter(|_| !matches!(fault, Some(Fault::IgnoreRange)));
    let start: Option<usize> = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let len = content.len();
    match start {
        None => Answer::new(200, content),
        Some(start) if start >= len => Answer::new(416, "").with_header("Content-Range", format!("bytes */{len}")),
        Some(start) => {
            Answer::new(206, &content[start..]).with_header("Content-Range", format!("bytes {start}-{}/{len}", len - 1))
        }
    }
}

fn write(mut stream: TcpStream, answer: Answer, request: &Request, fault: Option<Fault>) -> io::Result<()> {
    if let Some(Fault::Stall(time)) = fault {
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
        Some(Fault::Disconnect(len)) => &answer.body[..len.min(answer.body.len())],
        _ => &answer.body,
    };
    stream.write_all(body)
}

/// Returns whether the hub keeps a file in Git LFS, by the usual `.gitattributes`.
fn is_lfs(file: &str) -> bool {
    [".bin", ".safetensors", ".h5", ".msgpack", ".pt", ".onnx"].iter().any(|end| file.ends_with(end))
}

/// Returns a commit id of 40 hexadecimal digits that depends on the files.
fn commit(files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut all = Vec::new();
    for (name, content) in files {
        all.extend_from_slice(format!("{name}\0{}\0", sha256(content)).as_bytes());
    }
    sha256(&all)[..40].to_owned()
}

/// Returns the ETag of a file that is not in Git LFS: its Git blob id.
fn git_digest(content: &[u8]) -> String {
    let object = [format!("blob {}\0", content.len()).as_bytes(), content].concat();
    hex(ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &object).as_ref())
}

/// Returns the SHA-256 digest in hexadecimal digits.
pub fn sha256(content: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, content).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Decodes percent escapes: `refs%2Fpr%2F1` becomes `refs/pr/1`.
fn percent_decode(part: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        let digits = (byte == b'%').then(|| [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')]);
        let escaped = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(byte));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
