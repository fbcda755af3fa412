//! Tars as the `tar` crate writes them are listed as they were written; others are refused with where and what to do.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use proptest::prelude::*;
use tar::Builder;

use super::*;

/// A store in memory that counts what is read from it.
#[derive(Debug, Default)]
struct Counted {
    objects: InMemory,
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store that counts")
    }
}

#[async_trait]
impl ObjectStore for Counted {
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let is_look = options.head;
        let got = self.objects.get_opts(path, options).await?;
        if !is_look {
            self.requests.fetch_add(1, SeqCst);
            self.bytes.fetch_add(got.range.end - got.range.start, SeqCst);
        }
        Ok(got)
    }

    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.objects.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(paths)
    }

    fn list(&self, folder: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(folder)
    }

    async fn list_with_delimiter(&self, folder: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(folder).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}

const KEY: &str = "some/x.tar";

struct TarListing {
    contents: Contents,
    requests: u64,
    bytes: u64,
}

fn list_bytes(bytes: Vec<u8>) -> TarListing {
    let counted = Arc::new(Counted::default());
    let store = Store::from_object_store(counted.clone(), "memory:///".parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let contents = runtime.block_on(async {
        store.put(KEY, bytes.into()).await.unwrap();
        list(&store, &store.head(KEY).await.unwrap(), &LoadPolicy::default()).await.unwrap()
    });
    TarListing { contents, requests: counted.requests.load(SeqCst), bytes: counted.bytes.load(SeqCst) }
}

impl TarListing {
    /// Returns the members of a tar without a fault.
    fn members(self) -> Vec<Member> {
        assert!(self.contents.broken.is_none() && self.contents.unusable.is_empty(), "{:?}", self.contents);
        self.contents.members
    }
}

/// Returns the error of a tar, or of its only unfit member.
fn refused(bytes: Vec<u8>) -> String {
    let Contents { unusable, broken, .. } = list_bytes(bytes).contents;
    let mut said = unusable.into_iter().map(|(_, error)| error).chain(broken).map(|error| error.to_string());
    let only = said.next().unwrap();
    assert_eq!(said.next(), None, "after {only}");
    only
}

fn header(bytes: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(bytes as u64);
    header.set_mode(0o644);
    header
}

fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, content) in members {
        tar.append_data(&mut header(content.len()), name, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Makes a tar of one member with any name and type.
fn tar_of_header(name: &[u8], kind: EntryType, content: &[u8]) -> Vec<u8> {
    let mut header = header(content.len());
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_cksum();
    let mut tar = Builder::new(Vec::new());
    tar.append(&header, content).unwrap();
    tar.into_inner().unwrap()
}

#[derive(Clone, Copy, Debug)]
enum NumberFormat {
    /// Long names in a member of their own.
    Gnu,
    /// Long names in two pieces, as far as they go.
    Ustar,
    /// Name and length in records, beside an attribute with line ends.
    Pax,
}

fn append(tar: &mut Builder<Vec<u8>>, name: &str, content: &[u8], written: NumberFormat) {
    match written {
        NumberFormat::Ustar => {
            let mut header = Header::new_ustar();
            header.set_size(content.len() as u64);
            if header.set_path(name).is_ok() {
                header.set_cksum();
                return tar.append(&header, content).unwrap();
            }
        }
        NumberFormat::Pax => {
            let bytes = content.len().to_string();
            let records: [(&str, &[u8]); 3] =
                [("SCHILY.xattr.a", b"\n\n1 b=\n"), ("path", name.as_bytes()), ("size", bytes.as_bytes())];
            tar.append_pax_extensions(records).unwrap();
            // The header's own say otherwise, and do not count.
            let mut header = Header::new_ustar();
            header.set_path("short").unwrap();
            header.set_size(content.len() as u64);
            header.set_cksum();
            return tar.append(&header, content).unwrap();
        }
        NumberFormat::Gnu => {}
    }
    tar.append_data(&mut header(content.len()), name, content).unwrap();
}

fn members() -> impl Strategy<Value = BTreeMap<String, (usize, NumberFormat, bool)>> {
    let part = "[a-zA-Zé#%&+= 0-9_-]{1,40}";
    let name = (proptest::collection::vec(part, 1..9), "\\.(png|json|cls|x\\.png)")
        .prop_map(|(parts, end)| format!("{}{end}", parts.join("/")));
    let written = prop_oneof![Just(NumberFormat::Gnu), Just(NumberFormat::Ustar), Just(NumberFormat::Pax)];
    let size = prop_oneof![0..3usize, 510..515usize, 1000..1030usize, 0..200_000usize];
    proptest::collection::btree_map(name, (size, written, any::<bool>()), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_listed_with_where_it_is(wanted in members()) {
        let mut tar = Builder::new(Vec::new());
        let content = |name: &str, bytes: usize| name.bytes().cycle().take(bytes).collect::<Vec<u8>>();
        for (name, (bytes, written, after_folder)) in &wanted {
            if *after_folder {
                let mut folder = header(0);
                folder.set_entry_type(EntryType::Directory);
                tar.append_data(&mut folder, format!("./{name}.d/"), &[][..]).unwrap();
            }
            append(&mut tar, name, &content(name, *bytes), *written);
        }
        let bytes = tar.into_inner().unwrap();
        let listed = list_bytes(bytes.clone()).members();
        let names: Vec<&str> = listed.iter().map(|member| member.name.as_str()).collect();
        prop_assert_eq!(names, wanted.keys().map(String::as_str).collect::<Vec<_>>());
        for Member { name, range } in &listed {
            let range = range.as_range().start as usize..range.as_range().end as usize;
            prop_assert_eq!(&bytes[range], content(name, wanted[name].0));
        }
    }

    #[test]
    fn a_tar_that_is_cut_off_is_said_to_be_wherever_it_is(cut in 0usize..4000) {
        let whole = tar_of(&[("a.png", &[1; 700]), ("b.png", &[2; 1000])]);
        let end = 512 + 1024 + 512 + 1024;
        let cut = cut.min(end);
        let Contents { members, broken, .. } = list_bytes(whole[..cut].to_vec()).contents;
        prop_assert!(matches!(broken, Some(TarError::Truncated { .. })), "{:?}", broken);
        let are_whole = usize::from(cut >= 1536) + usize::from(cut >= 3072);
        prop_assert_eq!(members.len(), are_whole, "what is whole is taken");
    }

    #[test]
    fn whatever_the_bytes_nothing_panics(mut noise in proptest::collection::vec(any::<u8>(), 0..1500), at in 0usize..2000) {
        let mut tar = tar_of(&[("a.png", &[1; 700])]);
        let at = at.min(tar.len());
        tar.splice(at..at, noise.drain(..));
        let _ = list_bytes(tar);
    }
}

#[test]
fn small_members_share_requests_and_large_ones_are_not_read() {
    let names: Vec<String> = (0..1000).map(|i| format!("{i:04}.png")).collect();
    let small: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &[7u8; 100][..])).collect();
    let listed = list_bytes(tar_of(&small));
    assert_eq!(listed.contents.members.len(), 1000);
    assert!(listed.requests <= 1000 * 1024 / READ_AHEAD + 2, "{} requests", listed.requests);

    let large = vec![9u8; 20 << 20];
    let listed = list_bytes(tar_of(&[("a.png", &large), ("b.png", &large)]));
    assert_eq!(listed.contents.members.len(), 2);
    assert!(listed.bytes <= 3 * READ_AHEAD, "{} bytes", listed.bytes);
}

#[test]
fn what_is_unfit_is_refused_with_where_and_what_to_do() {
    let picture = |name| tar_of(&[(name, &b"picture"[..])]);
    let mut wrong_sum = picture("a.png");
    wrong_sum[3] ^= 1;
    let joined = [picture("a.png"), picture("b.png")].concat();
    let deep = [tar_of_header(b"a.png", EntryType::Regular, b"1"), vec![0; 9000], vec![1]].concat();
    let mut sparse = Builder::new(Vec::new());
    sparse.append_pax_extensions([("GNU.sparse.major", &b"1"[..])]).unwrap();
    sparse.append_data(&mut header(1), "s.png", &b"1"[..]).unwrap();
    let cases = [
        (b"\x1f\x8b\x08 and more".to_vec(), "compressed with gzip"),
        (vec![], "it ends at offset 0"),
        (wrong_sum, "no header at offset 0: its checksum"),
        (b"no tar at all".repeat(50), "no header at offset 0"),
        (joined, "continues at offset 2048, after its end; join tars with"),
        (deep, "after its end"),
        (
            tar_of(&[("a.png", b"1"), ("b.png", b"2"), ("a.png", b"3")]),
            "`a.png` occurs twice, at the offsets 0 and 2048",
        ),
        (tar_of(&[("./a.png", b"1"), ("a.png", b"3")]), "`a.png` occurs twice"),
        (tar_of_header(b"../a.png", EntryType::Regular, b"1"), "`../a.png` at offset 0 leads out of the tar"),
        (tar_of_header(b"x/../a.png", EntryType::Regular, b"1"), "leads out of the tar"),
        (tar_of_header(b"/x/a.png", EntryType::Regular, b"1"), "`/x/a.png` at offset 0 is absolute"),
        (tar_of_header(b"\xff.png", EntryType::Regular, b"1"), "is not UTF-8"),
        (tar_of_header(b".", EntryType::Regular, b"1"), "is empty"),
        (
            tar_of_header(b"a.png", EntryType::Symlink, b""),
            "a symbolic link, not a file; write the tar again with --deref",
        ),
        (tar_of_header(b"a.png", EntryType::Link, b""), "with --hard-dereference"),
        (tar_of_header(b"a.png", EntryType::GNUSparse, b""), "without --sparse"),
        (sparse.into_inner().unwrap(), "`s.png` at offset 1024 is a sparse file"),
        (tar_of_header(b"a.png", EntryType::Fifo, b""), "is of the type `6`, not a file"),
        (tar_of_header(b"x", EntryType::XHeader, b"12 path=a.p\n9"), "pax records that cannot be read"),
        (tar_of_header(b"x", EntryType::XHeader, b"10 size=x\n"), "pax records that cannot be read"),
        (tar_of_header(b"x", EntryType::GNULongName, &vec![b'a'; 2 << 20]), "records of 2097152 bytes"),
    ];
    for (bytes, part) in cases {
        let said = refused(bytes);
        assert!(said.contains(part), "{said}\nlacks {part}");
    }
}

#[test]
fn names_are_as_if_the_tar_was_a_folder() {
    let old = tar_of_header(b"folder/", EntryType::Regular, b"");
    assert_eq!(list_bytes(old).members(), [], "a folder of a tar before there were types");
    let listed = list_bytes(tar_of_header(b"././a//b.png", EntryType::Regular, b"1")).members();
    assert_eq!(listed, [Member { name: "a/b.png".into(), range: ByteRange { offset: 512, bytes: 1 } }]);
}

#[test]
fn an_unfit_member_takes_no_other_with_it() {
    let mut tar = Builder::new(Vec::new());
    let mut add = |name: &[u8], kind, content: &[u8]| {
        let mut header = header(content.len());
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_cksum();
        tar.append(&header, content).unwrap();
    };
    add(b"1.png", EntryType::Regular, b"1");
    add(b"\xce\xed.png", EntryType::Regular, b"2");
    add(b"l.png", EntryType::Symlink, b"");
    add(b"/3.png", EntryType::Regular, b"3");
    add(b"4.png", EntryType::Regular, b"4");
    add(b"1.png", EntryType::Regular, b"5");
    let contents = list_bytes(tar.into_inner().unwrap()).contents;
    let names = |names: &[Member]| names.iter().map(|member| member.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&contents.members), ["4.png", "1.png"], "the last of two of one name");
    let unfit: Vec<&str> = contents.unusable.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(unfit, ["\u{fffd}\u{fffd}.png", "l.png", "/3.png", "1.png"]);
    assert!(contents.broken.is_none());
}
