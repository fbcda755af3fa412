//! Telemetry of a cluster: metrics of both programs, and spans exported to a collector.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dqa_tests::cluster::{Cluster, Programs, free_port};
use dqa_tests::wait_until;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// Keeps the spans that it is sent: their names, and the runs that they name.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

/// A span's name, and the run that it names.
type Span = (String, Option<String>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        for span in scopes.flat_map(|scope| scope.spans) {
            let run = span.attributes.iter().find(|attribute| attribute.key == "run");
            let run = run.and_then(|run| match run.value.as_ref()?.value.as_ref()? {
                Value::StringValue(name) => Some(name.clone()),
                _ => None,
            });
            self.0.lock().unwrap().push((span.name, run));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_appears_in_metrics_and_spans() {
    let collector = Collector::default();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let otlp = format!("http://{}", listener.local_addr().unwrap());
    let service = TraceServiceServer::new(collector.clone());
    tokio::spawn(
        tonic::transport::Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
    );

    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp", "aod"]);
    cluster.serve_args = vec!["--otlp".to_owned(), otlp.clone()];
    let worker_port = free_port();
    cluster.worker_args = vec!["--otlp".to_owned(), otlp, "--listen".to_owned(), format!("127.0.0.1:{worker_port}")];
    cluster.start_coordinator();
    let worker = cluster.start_worker(&[]);
    cluster.wait_for_workers(1);
    cluster.run(&cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r"])).exits_with(0);

    let page = |port: u16| {
        let output =
            std::process::Command::new("curl").args(["-s", &format!("http://127.0.0.1:{port}/metrics")]).output();
        output.ok().map(|output| String::from_utf8(output.stdout).unwrap())
    };
    match (page(cluster.port()), page(worker_port)) {
        (Some(coordinator), Some(worker)) => {
            for line in ["dqa_shards_done_total 6", "dqa_leads 1", "dqa_workers{device=\"cpu\"} 1"] {
                assert!(coordinator.contains(line), "{line} in\n{coordinator}");
            }
            for line in [
                "dqa_shards_total{outcome=\"scored\"} 6",
                "dqa_pictures_total{outcome=\"scored\"} 6",
                "dqa_connected 1",
            ] {
                assert!(worker.contains(line), "{line} in\n{worker}");
            }
        }
        _ => eprintln!("skipped: there is no curl"),
    }

    // What is under way is sent when a program ends.
    cluster.signal(worker, "TERM");
    assert_eq!(cluster.wait_for_exit(worker), 0);
    let spans = || collector.0.lock().unwrap().clone();
    let count = |name: &str| spans().iter().filter(|(own, run)| own == name && run.as_deref() == Some("r")).count();
    let describe = || format!("{:?}", spans());
    wait_until(Duration::from_secs(30), describe, || count("shard") == 6 && count("run") == 1);
}
