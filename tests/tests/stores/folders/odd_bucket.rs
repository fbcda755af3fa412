//! A bucket with keys that no file system could hold: a mock S3 serves the files of a folder and lists additional keys.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use dqa_tests::TestDir;

/// Answers until the process ends.
fn serve(folder: PathBuf, odd: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let folder = folder.clone();
            std::thread::spawn(move || answer(stream, &folder, odd));
        }
    });
    format!("http://{address}")
}

/// One request a connection. A client that goes away is no failure.
fn answer(stream: TcpStream, folder: &Path, odd: &[&str]) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut range = None;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        range = range.or(line.strip_prefix("range: bytes=").and_then(|range| {
            let (begin, end) = range.split_once('-')?;
            Some((begin.parse::<usize>().ok()?, end.parse::<usize>().ok()?))
        }));
    }
    let mut words = first.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (status, extra, body) = if query.contains("list-type=2") {
        ("200 OK", String::new(), listing(folder, odd, query.contains("delimiter=")))
    } else {
        match std::fs::read(folder.join(path.trim_start_matches("/bucket/"))) {
            Err(_) => ("404 Not Found", String::new(), b"<Error><Code>NoSuchKey</Code></Error>".to_vec()),
            Ok(bytes) => match range {
                None => ("200 OK", String::new(), bytes),
                Some((begin, end)) => {
                    let (all, end) = (bytes.len(), (end + 1).min(bytes.len()));
                    (
                        "206 Partial Content",
                        format!("Content-Range: bytes {begin}-{}/{all}\r\n", end - 1),
                        bytes[begin..end].to_vec(),
                    )
                }
            },
        }
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"tag\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
         {extra}Connection: close\r\n\r\n",
        body.len()
    )
    .ok()?;
    if method != "HEAD" {
        stream.write_all(&body).ok()?;
    }
    Some(())
}

/// Everything, whatever the prefix: there is one folder in the bucket.
fn listing(folder: &Path, odd: &[&str], by_folder: bool) -> Vec<u8> {
    let mut keys: Vec<String> = odd.iter().map(|key| (*key).to_owned()).collect();
    for algorithm in ["aod", "dcp"] {
        (0..3).for_each(|scene| keys.push(format!("results/{algorithm}/s{scene}.png")));
    }
    let size = |key: &str| folder.join(key).metadata().map_or(0, |metadata| metadata.len());
    let contents: String = keys
        .iter()
        .filter(|_| !by_folder)
        .map(|key| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                 <ETag>&quot;tag&quot;</ETag><Size>{}</Size></Contents>",
                size(key)
            )
        })
        .collect();
    format!(
        "<?xml version='1.0' encoding='UTF-8'?><ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>\
         <Name>bucket</Name><Prefix>results/</Prefix><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
    )
    .into_bytes()
}

#[test]
fn odd_keys_of_a_bucket_do_not_affect_others() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["aod", "dcp"]);
    std::fs::rename(dir.path("haze"), dir.path("results")).unwrap();
    const ODD: [&str; 7] = [
        "results/",
        "results/dcp/",
        "results/notes//old.txt",
        "results/dcp/a&#x9;b.png",
        "results/dcp/../up.png",
        "results/dcp/.ipynb_checkpoints/s0.png",
        "results/x.png/",
    ];
    let endpoint = serve(dir.path(""), &ODD);
    let mut command = dir.command(&["dataset", "check", "s3://bucket/results"]);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        command.env_remove(name);
    }
    let variables = [
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ENDPOINT", &endpoint),
    ];
    let output = dqa_tests::CommandOutput::new(&command.envs(variables).output().unwrap()).exits_with(0);
    assert!(output.stdout.contains("2 algorithms x 3 scenes, 6 of 6 pictures"), "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("3 files are left out for their names: dcp/../up.png: "), "{}", output.stdout);
    assert!(output.stdout.contains("notes//old.txt: its key is not a valid path"), "{}", output.stdout);
    assert!(
        output.stdout.contains("skipped: 1 hidden (dcp/.ipynb_checkpoints/), 3 markers of folders (./, ...)"),
        "{}",
        output.stdout
    );
}
