//! The table `scores` of one or more runs: the rows of each run's parts, with the run's name as the first column. The
//! files do not contain the run, because runs share them. A part of two runs appears once for each run. The metric is
//! what the run's record says of a part, because parts of older versions do not contain it.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, ToDFSchema};
use datafusion::datasource::TableType;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, Column, Literal};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;

use dqa_pipelines::tables::scores::{self, METRIC};

/// The first column, which is not in the files.
pub(crate) const RUN_COLUMN: &str = "run";

/// A number of each row of the files, which is never negative.
const VARYING: &str = "windows";

/// The table's columns. Every row has a metric.
pub(crate) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![Arc::new(Field::new(RUN_COLUMN, DataType::Utf8, false))];
    fields.extend(scores::SCHEMA.fields().iter().map(|field| {
        let is_nullable = field.is_nullable() && field.name() != METRIC;
        Arc::new(field.as_ref().clone().with_nullable(is_nullable))
    }));
    Arc::new(Schema::new(fields))
});

/// The rows of one metric of a run.
#[derive(Debug)]
pub(crate) struct MetricRows {
    /// The run's name.
    pub(crate) run: String,
    /// The metric's name.
    pub(crate) metric: String,
    /// The table of its parts, with the columns of the files.
    pub(crate) parts: Arc<dyn TableProvider>,
}

/// The table: the rows of each metric of each run.
#[derive(Debug)]
pub(crate) struct ScoresTable(pub(crate) Vec<MetricRows>);

#[async_trait]
impl TableProvider for ScoresTable {
    fn schema(&self) -> SchemaRef {
        SCHEMA.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Runs, metrics and files skip rows that cannot match. The filter itself remains above the scan.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..SCHEMA.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let uses_constants = |filter: &Expr| filter.column_refs().iter().any(|column| is_constant(&column.name));
        let (own, of_files): (Vec<Expr>, Vec<Expr>) = filters.iter().cloned().partition(uses_constants);
        let scanned = self.0.iter().filter(|rows| !own.iter().any(|filter| rows.are_excluded_by(filter)));
        let scanned: Vec<&MetricRows> = scanned.collect();
        let mut inputs = Vec::with_capacity(scanned.len());
        for rows in &scanned {
            inputs.push(rows.scan(state, wanted, &of_files, limit, scanned.len() > 1).await?);
        }
        if inputs.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(SCHEMA.project(wanted)?))));
        }
        UnionExec::try_new(inputs)
    }
}

/// Returns whether a column has one value in all rows of a [`MetricRows`].
fn is_constant(column: &str) -> bool {
    [RUN_COLUMN, METRIC].contains(&column)
}

impl MetricRows {
    /// Returns the value of a column that has one value in all rows.
    fn constant(&self, column: &str) -> Option<ScalarValue> {
        match column {
            RUN_COLUMN => Some(ScalarValue::from(self.run.as_str())),
            METRIC => {
                let name = ScalarValue::from(self.metric.as_str());
                Some(ScalarValue::Dictionary(Box::new(DataType::Int32), Box::new(name)))
            }
            _ => None,
        }
    }

    /// Returns whether no row passes a filter because of the run or the metric.
    fn are_excluded_by(&self, filter: &Expr) -> bool {
        let replaced = filter.clone().transform(|expr| {
            let value = match &expr {
                Expr::Column(column) => self.constant(&column.name),
                _ => None,
            };
            Ok(value.map_or(Transformed::no(expr), |value| Transformed::yes(Expr::Literal(value, None))))
        });
        let (Ok(replaced), Ok(schema)) = (replaced, SCHEMA.clone().to_dfschema_ref()) else { return false };
        let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_schema(schema).build());
        match simplifier.simplify(replaced.data) {
            Ok(Expr::Literal(value, _)) => value.is_null() || value == ScalarValue::Boolean(Some(false)),
            _ => false,
        }
    }

    /// Scans the parts for the columns of [`SCHEMA`] with these indices. With `has_siblings`, the rows become one input of
    /// several of a union.
    async fn scan(
        &self,
        state: &dyn Session,
        wanted: &[usize],
        filters: &[Expr],
        limit: Option<usize>,
        has_siblings: bool,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // In the files each column is one place further to the left.
        let is_in_files = |column: &&usize| !is_constant(SCHEMA.field(**column).name());
        let mut file_columns: Vec<usize> = wanted.iter().filter(is_in_files).map(|column| column - 1).collect();
        let needs_varying = has_siblings && file_columns.len() < wanted.len();
        let varying = if needs_varying { Some(position_of(VARYING, &mut file_columns)?) } else { None };
        let rows = self.parts.scan(state, Some(&file_columns), filters, limit).await?;
        let mut file_column = 0;
        let columns = wanted.iter().map(|column| {
            let name = SCHEMA.field(*column).name().clone();
            let expr: Arc<dyn PhysicalExpr> = match (self.constant(&name), varying) {
                (Some(value), Some(varying)) => not_constant(value, varying)?,
                (Some(value), None) => Arc::new(Literal::new(value)),
                (None, _) => {
                    file_column += 1;
                    Arc::new(Column::new(&name, file_column - 1))
                }
            };
            Ok((expr, name))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(ProjectionExec::try_new(columns, rows)?))
    }
}

/// Returns where a column of the files is among those that are read, and reads it if it was not.
fn position_of(name: &str, file_columns: &mut Vec<usize>) -> Result<usize> {
    let column = scores::SCHEMA.index_of(name)?;
    Ok(file_columns.iter().position(|known| *known == column).unwrap_or_else(|| {
        file_columns.push(column);
        file_columns.len() - 1
    }))
}

/// Returns an expression with this value in all rows, which DataFusion does not take for a constant.
///
/// In DataFusion 55, a sort by a column that is constant in each input of a union, with different values, leaves the column
/// out, and rows of one input then decide which rows of another `LIMIT` drops.
fn not_constant(value: ScalarValue, varying: usize) -> Result<Arc<dyn PhysicalExpr>> {
    let value: Arc<dyn PhysicalExpr> = Arc::new(Literal::new(value));
    let column = Arc::new(Column::new(VARYING, varying));
    let zero = Arc::new(Literal::new(ScalarValue::new_zero(scores::SCHEMA.field_with_name(VARYING)?.data_type())?));
    let is_negative = Arc::new(BinaryExpr::new(column, Operator::Lt, zero));
    Ok(Arc::new(CaseExpr::try_new(None, vec![(is_negative, value.clone())], Some(value))?))
}
