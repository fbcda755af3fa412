//! Writes all pages with made-up data to a folder, to be looked at: `cargo run -p dqa-pages --example gallery -- OUT`. Each
//! variant (many algorithms, long names, failures, nothing yet, ...) is a site of its own.

mod bitmap;
mod site;
mod store_pages;
mod tables;
mod world;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use site::Site;

fn main() -> io::Result<()> {
    let Some(out) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: gallery OUT [VARIANT...]");
        std::process::exit(2);
    };
    let wanted: Vec<String> = std::env::args().skip(2).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    for (name, world) in world::variants().into_iter().filter(|(name, _)| is_wanted(name)) {
        let site = Site::new(world);
        let folder = out.join(name);
        let pages = site.pages();
        for (path, text) in &pages {
            write(&folder.join(path), text.as_bytes())?;
        }
        for (path, bytes) in bitmap::files(&site.world) {
            write(&folder.join(path), &bytes)?;
        }
        println!("{name}: {} pages, {}", pages.len(), folder.join("index.html").display());
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
    fs::write(path, bytes)
}
