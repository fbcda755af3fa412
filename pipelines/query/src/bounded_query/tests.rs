use std::fmt::Write;

use datafusion::physical_plan::collect;
use dqa_pipelines::store::Store;

use super::*;
use crate::session::{Selection, open_session};

struct Fixture {
    context: SessionContext,
    _dir: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path().to_str().unwrap(), std::path::Path::new("")).unwrap();
        Fixture { context: open_session(&store, &Selection::All).await.unwrap(), _dir: dir }
    }

    async fn refusal(&self, sql: &str) -> QueryBoundError {
        match plan_bounded(&self.context, sql, false).await {
            Err(SqlError::Bound(error)) => error,
            Err(error) => panic!("{error}: {error:?}"),
            Ok(_) => panic!("it is planned: {sql}"),
        }
    }

    async fn assert_is_answered(&self, sql: &str) {
        let plan = plan_bounded(&self.context, sql, false).await.unwrap_or_else(|error| panic!("{error:?}: {sql}"));
        collect(plan, self.context.task_ctx()).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
    }
}

/// Returns a query of `steps` subqueries, each of which doubles the expression of the one before it.
fn doubling(first: &str, steps: usize, last: &str) -> String {
    let mut sql = format!("WITH t0 AS (SELECT {first} AS x FROM scores)");
    for step in 1..=steps {
        write!(sql, ", t{step} AS (SELECT x || x AS x FROM t{})", step - 1).unwrap();
    }
    sql + &last.replace("LAST", &format!("t{steps}"))
}

#[tokio::test]
async fn constants_cannot_be_made_long() {
    let fixture = Fixture::new().await;
    let function = |name: &str| QueryBoundError::Function(name.to_owned());
    let repeats = function("repeat");
    assert_eq!(fixture.refusal("SELECT repeat('a', 200000000000)").await, repeats);
    assert_eq!(fixture.refusal("SELECT \"repeat\"('a', 200000000000) FROM scores").await, repeats);
    assert_eq!(fixture.refusal("EXPLAIN SELECT 1 FROM runs WHERE run = repeat('a', 200000000000)").await, repeats);
    // The arguments of a table's function are evaluated before there is a plan.
    let rows = "SELECT count(*) FROM generate_series(1, length(repeat('a', 200000000000)))";
    assert_eq!(fixture.refusal(rows).await, repeats);
    assert_eq!(fixture.refusal("SELECT lpad('a', 2000000000, 'b')").await, function("lpad"));
    assert_eq!(fixture.refusal("SELECT array_repeat(1, 20000000000)").await, function("array_repeat"));
    let nested = "replace(replace(replace('a', 'a', 'aaaaaaaa'), 'a', 'aaaaaaaa'), 'a', 'aaaaaaaa')";
    assert_eq!(fixture.refusal(&format!("SELECT {nested}")).await, function("replace"));
    let sized = QueryBoundError::Type("INT[2000000000]".to_owned());
    assert_eq!(fixture.refusal("SELECT CAST(NULL AS INT[2000000000])").await, sized);
    assert_eq!(fixture.refusal("SELECT NULL::INT[2000000000]").await, sized);
    assert_eq!(fixture.refusal("SELECT arrow_cast(NULL, 'FixedSizeBinary(2000000000)')").await, function("arrow_cast"));
}

/// Each of these ends a process by the overflow of its stack, or by the memory that it takes, if it is planned as it is.
#[tokio::test]
async fn neither_the_stack_nor_memory_is_exhausted() {
    let fixture = Fixture::new().await;
    let sum = format!("SELECT {}1", "1 + ".repeat(10_000));
    assert_eq!(fixture.refusal(&sum).await, QueryBoundError::Tokens(20_002));
    assert_eq!(fixture.refusal(&format!("SELECT '{}'", "a".repeat(65_536))).await, QueryBoundError::TextBytes(65_545));
    let column = format!("SELECT {}windows FROM scores", "windows + ".repeat(900));
    assert_eq!(fixture.refusal(&column).await, QueryBoundError::Depth);
    let conditions = format!("SELECT 1 FROM runs WHERE run = 'a'{}", " OR run = 'b'".repeat(400));
    assert_eq!(fixture.refusal(&conditions).await, QueryBoundError::Depth);
    let unions = format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(400));
    assert_eq!(fixture.refusal(&unions).await, QueryBoundError::Depth);
    assert_eq!(fixture.refusal(&format!("SELECT 1 FROM runs{}", ", runs".repeat(256))).await, QueryBoundError::Tables);
    // A filter that is moved to the table repeats `run` 2^60 times.
    let filtered = doubling("run", 60, " SELECT 1 FROM LAST WHERE x = 'a'");
    assert_eq!(fixture.refusal(&filtered).await, QueryBoundError::PlanSize);
    // Its plan has 2^60 steps.
    let mut joined = "WITH t0 AS (SELECT 1 AS x)".to_owned();
    for step in 1..=60 {
        write!(joined, ", t{step} AS (SELECT a.x FROM t{0} a, t{0} b)", step - 1).unwrap();
    }
    assert_eq!(fixture.refusal(&(joined + " SELECT * FROM t60")).await, QueryBoundError::Tables);
}

#[tokio::test]
async fn ordinary_queries_are_within_the_bounds() {
    let fixture = Fixture::new().await;
    let names: Vec<String> = (0..900).map(|number| format!("'{number}.png'")).collect();
    for sql in [
        "SHOW TABLES",
        "DESCRIBE scores",
        "EXPLAIN SELECT srcc(score, mos) FROM scores",
        "SELECT algorithm, count(*), srcc(score, mos), rank() OVER (ORDER BY avg(score)) FROM scores GROUP BY 1",
        "SELECT upper(run) || '-' || substring(image FROM 1 FOR 3), extract(year FROM now()), score::int FROM scores",
        "SELECT sum(value) FROM generate_series(1, 1000)",
        "SELECT a.image FROM scores a JOIN scores b ON a.scene = b.scene WHERE a.score > (SELECT avg(score) FROM scores)",
        &format!("SELECT count(*) FROM scores WHERE image IN ({})", names.join(", ")),
        &format!("SELECT count(*) FROM scores WHERE image = ''{}", " OR scene = 'a'".repeat(100)),
        &doubling("run", 8, " SELECT count(*) FROM LAST WHERE x = 'a'"),
    ] {
        fixture.assert_is_answered(sql).await;
    }
    for sql in ["DROP TABLE scores", "SELEC 1", "SELECT nothing FROM scores", "SELECT 'open", ""] {
        assert!(matches!(plan_bounded(&fixture.context, sql, false).await, Err(SqlError::Query(_))), "{sql}");
    }
}
