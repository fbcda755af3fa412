//! The table `epochs`: how a training went. One row for each epoch of a trial.

/// The table's name, and its file's in a trial's folder.
pub const EPOCHS: &str = "epochs";

table! {
    /// A row of the table. A measure is None where it is not defined, the held-out ones also where nothing was tested.
    EpochRow {
        /// Of which trial.
        trial: String,
        /// From 1.
        epoch: u32,
        /// Mean squared error over the epoch's windows, each before its step.
        loss: f64,
        /// Spearman's correlation of the epoch's windows' scores with their labels.
        train_srcc: Option<f64>,
        /// Pearson's.
        train_plcc: Option<f64>,
        /// Kendall's tau-b.
        train_krcc: Option<f64>,
        /// What the epoch was tested on: `validation` or `test`; None: nothing.
        held_out: Option<String>,
        /// Spearman's correlation of held-out pictures' scores, over all windows, with their labels.
        held_out_srcc: Option<f64>,
        /// Pearson's.
        held_out_plcc: Option<f64>,
        /// Kendall's tau-b.
        held_out_krcc: Option<f64>,
        /// Root of the mean squared difference of score and label, both 0 to 1.
        held_out_rmse: Option<f64>,
        /// Of the steps alone.
        train_seconds: f64,
        /// Windows learned from in a second of them.
        windows_per_second: f64,
        /// Of the held-out test.
        test_seconds: f64,
        /// The learning rate of the last step.
        lr: f64,
        /// Euclidean norm of the gradient, mean over the steps.
        gradient_norm: f64,
        /// The largest of a step.
        gradient_norm_max: f64,
    }
}
