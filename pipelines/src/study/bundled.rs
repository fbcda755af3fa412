//! The studies that come with the program.

/// The studies that are compiled into the program: name and text.
pub const BUNDLED: [(&str, &str); 8] = [
    ("ablation", include_str!("../../../configs/studies/ablation.toml")),
    ("cross-dataset", include_str!("../../../configs/studies/cross-dataset.toml")),
    ("windows", include_str!("../../../configs/studies/windows.toml")),
    ("unseen-algorithms", include_str!("../../../configs/studies/unseen-algorithms.toml")),
    ("backbones", include_str!("../../../configs/studies/backbones.toml")),
    ("initialisation", include_str!("../../../configs/studies/initialisation.toml")),
    ("prompts", include_str!("../../../configs/studies/prompts.toml")),
    ("metrics", include_str!("../../../configs/studies/metrics.toml")),
];
