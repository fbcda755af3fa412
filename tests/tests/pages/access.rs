//! What is not shown, and to whom: pictures outside the roots, files beside the pictures, anything without a session; and forms
//! that other sites send.

use crate::guarded::{SECRETS, USERS, WAITING, WORKERS, guarded};
use crate::requests::{Answer, get, send};
use crate::{BROKEN, View, demo};

#[test]
fn pictures_outside_the_roots_are_refused() {
    let demo = demo();
    let pictures = demo.dir.path("demo");
    let [inside, outside] =
        [pictures.to_str().unwrap(), pictures.parent().unwrap().join("elsewhere").to_str().unwrap()]
            .map(|root| View::start(&demo.dir, &["--roots", root]));
    let kinds = [("thumbnails", ".jpg"), ("files", ""), ("maps", "-windows.png")];
    // References outside the roots are not even looked for.
    for (picture, refusal) in [("dcp~2Fs00001.png", 403), ("hazy~2Fs00001.png", 404)] {
        for (folder, suffix) in kinds {
            let path = format!("/runs/model/{folder}/demo/{picture}{suffix}");
            let answer = get(outside.port, &path, &[]);
            assert_eq!(answer.status, refusal, "{path}: {}", answer.body);
            let answer = get(inside.port, &path, &[]);
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            assert!(answer.header("content-type").unwrap().starts_with("image/"), "{path}");
            assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'; sandbox"), "{path}");
        }
    }
    // Only what a row or the data set's definition names, though other files are in the folder.
    for file in ["demo.toml", "pseudo-mos.csv", "README.md", "..~2Fstore", "~2Fetc~2Fpasswd"] {
        let answer = get(inside.port, &format!("/runs/model/files/demo/{file}"), &[]);
        assert_eq!(answer.status, 404, "{file}: {}", answer.body);
    }
    let broken = BROKEN.replace('/', "~2F");
    assert_eq!(get(inside.port, &format!("/runs/model/thumbnails/demo/{broken}.jpg"), &[]).status, 404);
}

#[test]
fn paths_that_climb_and_foreign_names_of_the_host_are_refused() {
    let demo = demo();
    let view = View::start(&demo.dir, &[]);
    for path in [
        "/..",
        "/../demo/demo.toml",
        "/runs/../runs/model/index.html",
        "/runs/model/../../demo.toml",
        "/runs/model/files/demo/../demo.toml",
        "/runs/model/files/../../../../../../etc/passwd",
        "/runs/model/files/demo/%2e%2e/demo.toml",
        "/runs/model/files/demo/..%2fdemo.toml",
        "/runs/model/files/demo/~2E~2E",
        "/runs/~2E~2E/index.html",
        "/runs/%2e%2e/index.html",
        "//runs/model/index.html",
        "/runs/model/files/demo/dcp/s00001.png",
    ] {
        let answer = get(view.port, path, &[]);
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
        assert!(!answer.body.contains("pseudo"), "{path}: {}", answer.body);
    }
    let foreign = get(view.port, "/", &[("host", "dqa.example:7080")]);
    assert_eq!(foreign.status, 403, "{}", foreign.body);
    assert_eq!(get(view.port, "/", &[("host", "localhost:7080")]).status, 200);
    let policy = get(view.port, "/", &[]).header("content-security-policy").unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    for action in ["runs/model/actions/cancel", "workers/w/drain"] {
        assert_eq!(send(view.port, "POST", &format!("/{action}"), &[], "").status, 404, "{action}");
    }
}

fn assert_shows_nothing(answer: &Answer, path: &str) {
    for secret in SECRETS {
        assert!(!answer.body.contains(secret), "{path} shows {secret}:\n{}", answer.body);
    }
}

#[test]
fn without_a_session_nothing_of_the_store_is_answered() {
    let cluster = guarded();
    let port = cluster.port();
    let forged = format!("dqa_session=9999999999.{}", "0".repeat(64));
    for headers in [&[][..], &[("cookie", forged.as_str())], &[("cookie", USERS)]] {
        for path in [
            "",
            "index.html",
            "workers.html",
            "studies/index.html",
            "studies/s.html",
            "trials/t.html",
            "runs/run-done-7/",
            "runs/run-done-7/index.html",
            "runs/run-done-7/leaderboard/demo/entropy.html",
            "runs/run-done-7/compare/demo/entropy/dcp/blur.html",
            "runs/run-done-7/metrics/demo/index.html",
            "runs/run-done-7/metrics/demo/entropy.html",
            "runs/run-done-7/scenes/demo/index.html",
            "runs/run-done-7/scenes/demo/~none/s00001.html",
            "runs/run-done-7/pictures/demo/dcp~2Fs00001.png.html",
            "runs/run-done-7/failures.html",
            "runs/run-done-7/run.html",
            "runs/run-done-7/provenance.html",
            "runs/none/index.html",
        ] {
            let answer = get(port, &format!("/{path}"), headers);
            assert_eq!(answer.status, 303, "{path}");
            let target = answer.header("location").unwrap();
            assert!(target.starts_with("/sign-in.html?next=%2F"), "{path}: {target}");
            assert_shows_nothing(&answer, path);
        }
        for path in [
            "index.events",
            "index.fragment",
            "workers.events",
            "workers.fragment",
            "trials/t.fragment",
            "runs/run-done-7/run.events",
            "runs/run-done-7/run.fragment",
            "runs/run-done-7/leaderboard/demo/entropy.csv",
            "runs/run-done-7/leaderboard/demo/entropy.json",
            "runs/run-done-7/thumbnails/demo/dcp~2Fs00001.png.jpg",
            "runs/run-done-7/files/demo/dcp~2Fs00001.png",
            "runs/run-done-7/maps/demo/dcp~2Fs00001.png-windows.png",
            "runs/run-done-7/maps/demo/dcp~2Fs00001.png-attention.png",
        ] {
            let answer = get(port, &format!("/{path}"), headers);
            assert_eq!(answer.status, 401, "{path}");
            assert_shows_nothing(&answer, path);
        }
        for path in ["runs/run-waiting-7/actions/cancel", "workers/w/drain", "runs/none/actions/pause"] {
            let answer = send(port, "POST", &format!("/{path}"), headers, "");
            assert_eq!(answer.status, 401, "{path}");
        }
    }
    assert_eq!(cluster.run_status(WAITING).unwrap()["state"], "running");
}

#[test]
fn forms_of_other_origins_are_refused() {
    let cluster = guarded();
    let port = cluster.port();
    let form = ("content-type", "application/x-www-form-urlencoded");
    let sign_in = |token: &str, next: &str, headers: &[(&str, &str)]| {
        send(port, "POST", "/sign-in.html", &[&[form], headers].concat(), &format!("token={token}&next={next}"))
    };
    for token in ["wrong", "", WORKERS] {
        let refused = sign_in(token, "", &[]);
        assert_eq!((refused.status, refused.header("set-cookie")), (401, None), "{token}");
        assert_shows_nothing(&refused, "sign-in.html");
    }
    assert_eq!(sign_in(USERS, "", &[("origin", "http://evil.example")]).status, 403);
    for next in ["https://evil.example/", "//evil.example/", "/%5Cevil.example"] {
        let entered = sign_in(USERS, next, &[]);
        assert_eq!((entered.status, entered.header("location")), (303, Some("/")), "{next}");
    }
    let entered = sign_in(USERS, "%2Fruns%2Frun-done-7%2Findex.html", &[]);
    assert_eq!(entered.header("location"), Some("/runs/run-done-7/index.html"));
    let cookie = entered.header("set-cookie").unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict") && !cookie.contains(USERS), "{cookie}");
    let session = ("cookie", cookie.split(';').next().unwrap());
    assert_eq!(get(port, "/runs/run-done-7/index.html", &[session]).status, 200);

    let own = format!("http://127.0.0.1:{port}");
    let cancel = "/runs/run-waiting-7/actions/cancel";
    for origin in ["http://evil.example", "null", "http://127.0.0.1", "http://localhost:1"] {
        for path in [cancel, "/runs/run-waiting-7/actions/pause", "/workers/w/drain", "/sign-out"] {
            let answer = send(port, "POST", path, &[session, ("origin", origin)], "");
            assert_eq!(answer.status, 403, "{path} from {origin}");
        }
    }
    assert_eq!(get(port, cancel, &[session]).status, 404, "a link cannot cancel");
    assert_eq!(cluster.run_status(WAITING).unwrap()["state"], "running");
    let done = send(port, "POST", cancel, &[session, ("origin", &own)], "");
    assert_eq!((done.status, done.header("location")), (303, Some("/runs/run-waiting-7/run.html")), "{}", done.body);
    assert_eq!(cluster.run_status(WAITING).unwrap()["state"], "cancelled");
}
