//! Finds the layout of a folder that has no definition.

use futures::TryStreamExt;

use super::definition::Definition;
use super::error::DatasetError;
use super::layout::Layout;
use super::listing_with_tars::{self, Entry, Listing};
use super::load_policy::LoadPolicy;
use super::skipped::ClutterFilter;
use crate::file_kinds::is_picture;
use crate::names::nfc;
use crate::store::{Object, Store};

/// Common layouts. A folder without a definition must have one of these.
const COMMON_LAYOUTS: [&str; 4] = [
    "{algorithm}/{scene}.{ext}",
    "{scene}_{algorithm}.{ext}",
    "{algorithm}/imgs/{image}.{ext}",
    "{dataset}/{algorithm}/imgs/{image}.{ext}",
];

/// Common layouts of pictures in tars, one of which a folder that only has tars must have: one tar for each algorithm, several
/// for each, or several for all.
const COMMON_TAR_LAYOUTS: [&str; 3] =
    ["{algorithm}.tar/{scene}.{ext}", "{algorithm}/{}.tar/{scene}.{ext}", "{}.tar/{algorithm}/{scene}.{ext}"];

/// Returns whether a layout is found without a definition.
pub(super) fn is_common_layout(layout: &str) -> bool {
    COMMON_LAYOUTS.contains(&layout) || COMMON_TAR_LAYOUTS.contains(&layout)
}

/// Finds the only common layout that all pictures below the root match, except a few strays. If there are only tars, the first
/// one with pictures decides, so that no other has to be read.
pub(super) async fn detect_layout(
    root: &Store,
    definition: &Definition,
    policy: &LoadPolicy,
) -> Result<String, DatasetError> {
    let mut loose = LayoutFit::new(&COMMON_LAYOUTS, definition, |_| true)?;
    let mut tars = Vec::new();
    let filter = ClutterFilter::default();
    let mut entries = listing_with_tars::list(root, "", Listing { filter: &filter, policy }, |_| false);
    while let Some(entries) = entries.try_next().await? {
        for entry in entries {
            match entry {
                Entry::File(file) if listing_with_tars::uncompressed_tar_key(&file.object.key).is_some() => {
                    policy.charge(size_of::<Object>() + file.object.key.len())?;
                    tars.push(file.object)
                }
                entry => loose.count(entry),
            }
        }
    }
    tars.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    if loose.pictures > 0 || tars.is_empty() {
        return loose.decide(root);
    }
    let enters = |layout: &Layout, key: &str| {
        listing_with_tars::uncompressed_tar_key(&nfc(key)).is_some_and(|tar| layout.enters(&tar))
    };
    let mut in_tars =
        LayoutFit::new(&COMMON_TAR_LAYOUTS, definition, |layout| tars.iter().all(|tar| enters(layout, &tar.key)))?;
    let mut broken = None;
    for tar in &tars {
        for entry in listing_with_tars::open(root, tar, Listing { filter: &filter, policy }).await? {
            match entry {
                Entry::BrokenTar { why, .. } => broken = broken.or(Some(why)),
                entry => in_tars.count(entry),
            }
        }
        if in_tars.pictures > 0 {
            break;
        }
    }
    match broken {
        Some(broken) if in_tars.pictures == 0 => Err(broken),
        _ => in_tars.decide(root),
    }
}

/// The number of pictures that each of some layouts matches.
struct LayoutFit {
    layouts: Vec<(Layout, u64)>,
    pictures: u64,
    /// The first picture that no layout matches.
    unmatched: Option<String>,
    /// The first entry that cannot be read.
    unusable: Option<String>,
}

/// Maximum number of pictures outside the algorithms' folders in a small folder whose layout is detected.
const STRAYS_MAX: u64 = 5;

impl LayoutFit {
    fn new(
        texts: &[&str],
        definition: &Definition,
        is_possible: impl Fn(&Layout) -> bool,
    ) -> Result<LayoutFit, DatasetError> {
        let layouts = texts.iter().map(|text| Layout::new(text, definition.name_in_files().as_str()));
        let mut layouts = layouts.collect::<Result<Vec<Layout>, _>>()?;
        layouts.retain(is_possible);
        let layouts = layouts.into_iter().map(|layout| (layout, 0)).collect();
        Ok(LayoutFit { layouts, pictures: 0, unmatched: None, unusable: None })
    }

    fn count(&mut self, entry: Entry) {
        let key = match entry {
            Entry::File(file) => file.object.key,
            Entry::Unusable(unusable) => {
                self.unusable.get_or_insert(format!("{} ({})", unusable.shown, unusable.why));
                return;
            }
            _ => return,
        };
        if !is_picture(&key) {
            return;
        }
        self.pictures += 1;
        let mut is_matched = false;
        for (layout, count) in &mut self.layouts {
            if layout.read(&nfc(&key)).is_some() {
                *count += 1;
                is_matched = true;
            }
        }
        if !is_matched {
            self.unmatched.get_or_insert(key);
        }
    }

    /// Returns the layout that most pictures match, if the others are few enough to be strays.
    fn layout_with_strays(&self) -> Option<&Layout> {
        let (most, count) = self.layouts.iter().max_by_key(|(_, count)| *count)?;
        let is_only = self.layouts.iter().filter(|(_, other)| other == count).count() == 1;
        let strays = self.pictures - count;
        // A teaser and some figures beside a small set, or one picture in twenty.
        let are_few = strays <= STRAYS_MAX && strays * 2 <= *count || strays * 20 <= *count;
        (is_only && are_few).then_some(most)
    }

    /// Returns the only layout that matches all pictures, or all but strays.
    fn decide(self, root: &Store) -> Result<String, DatasetError> {
        let with_strays = self.layout_with_strays().map(ToString::to_string);
        let LayoutFit { layouts, pictures, unmatched, unusable } = self;
        let undetected = |why| DatasetError::Undetected { root: root.url().to_string(), why };
        let mut whole = layouts.iter().filter(|(_, count)| *count == pictures);
        match (pictures, whole.next(), whole.next()) {
            (0, ..) => {
                let unusable = unusable.map(|unusable| format!("; it has {unusable}")).unwrap_or_default();
                Err(undetected(format!("it has no pictures{unusable}")))
            }
            (_, Some((layout, _)), None) => Ok(layout.to_string()),
            _ => {
                if let Some(layout) = with_strays {
                    return Ok(layout);
                }
                let counts = layouts.iter().filter(|(_, count)| *count > 0);
                let counts: Vec<String> = counts.map(|(layout, count)| format!("{count} as {layout}")).collect();
                let counts =
                    if counts.is_empty() { "none match a common layout".to_owned() } else { counts.join(", ") };
                let unmatched = unmatched.map(|key| format!(", and there is {key}")).unwrap_or_default();
                Err(undetected(format!("of {pictures} pictures {counts}{unmatched}")))
            }
        }
    }
}
