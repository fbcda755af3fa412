//! The table `epochs`: the progress of a training. One row for each epoch of a trial.

/// The name of the table, and of its file in a trial's folder.
pub const EPOCHS: &str = "epochs";

table! {
    /// A row of the table. A measure is None if it is undefined. Held-out measures are also None if the epoch was not
    /// tested.
    EpochRow {
        /// The trial's name.
        trial: String,
        /// The epoch's number, from 1.
        epoch: u32,
        /// Mean squared error over the epoch's windows, each scored before its step.
        loss: f64,
        /// Spearman's correlation of the scores of the epoch's windows with their labels.
        train_srcc: Option<f64>,
        /// Pearson's correlation of the same.
        train_plcc: Option<f64>,
        /// Kendall's tau-b of the same.
        train_krcc: Option<f64>,
        /// The pictures that the epoch was tested on: `validation` or `test`. None if it was not tested.
        held_out: Option<String>,
        /// Spearman's correlation of the scores of held-out pictures, over all windows, with their labels.
        held_out_srcc: Option<f64>,
        /// Pearson's correlation of the same.
        held_out_plcc: Option<f64>,
        /// Kendall's tau-b of the same.
        held_out_krcc: Option<f64>,
        /// Root mean squared difference of score and label, both from 0 to 1.
        held_out_rmse: Option<f64>,
        /// Duration of the training steps in seconds.
        train_seconds: f64,
        /// Training windows per second of that duration.
        windows_per_second: f64,
        /// Duration of the held-out test in seconds.
        test_seconds: f64,
        /// The learning rate of the last step.
        lr: f64,
        /// Euclidean norm of the gradient, averaged over the steps.
        gradient_norm: f64,
        /// Maximum norm of a step's gradient.
        gradient_norm_max: f64,
    }
}
