//! Where a run's numbers are from.

use dqa_pages::{ProvenancePage, Route, Segment};
use dqa_pipelines::run::RunRecord;

use crate::error::SiteError;
use crate::site::{Site, Viewer};

pub(super) async fn page(site: &Site, run: &Segment, (route, viewer): (&Route, &Viewer)) -> Result<String, SiteError> {
    let loaded = site.run(run).await?;
    let record = RunRecord { parts: Vec::new(), ..loaded.status.record.clone() };
    let page = ProvenancePage {
        command: record.provenance.get("command").cloned(),
        site_command: Some(format!("dqa-coord site OUT --run {} --store {}", record.name, site.store.url())),
        citations: citations(&loaded.header().datasets),
        record,
    };
    Ok(page.render(&site.context(route, viewer, Some(&loaded))))
}

/// Returns the publications of the data sets that dqa has definitions of.
fn citations(datasets: &[String]) -> Vec<String> {
    const KNOWN: [(&str, &str); 5] = [
        (
            "dhq",
            "DHQ: X. Min et al., Objective quality evaluation of dehazed images, IEEE T-ITS 2019, doi:10.1109/TITS.2018.2868771",
        ),
        (
            "exbedde",
            "exBeDDE: S. Zhao et al., Dehazing evaluation: real-world benchmark datasets, criteria, and baselines, IEEE TIP 2020",
        ),
        (
            "bedde",
            "BeDDE: S. Zhao et al., Dehazing evaluation: real-world benchmark datasets, criteria, and baselines, IEEE TIP 2020",
        ),
        (
            "shrq-aerial",
            "SHRQ: X. Min et al., Quality evaluation of image dehazing methods using synthetic hazy images, IEEE TMM 2019, doi:10.1109/TMM.2019.2902097",
        ),
        (
            "shrq-regular",
            "SHRQ: X. Min et al., Quality evaluation of image dehazing methods using synthetic hazy images, IEEE TMM 2019, doi:10.1109/TMM.2019.2902097",
        ),
    ];
    let known = KNOWN.iter().filter(|(name, _)| datasets.iter().any(|dataset| dataset == name));
    let mut texts: Vec<String> = known.map(|(_, text)| (*text).to_owned()).collect();
    texts.dedup();
    texts
}
