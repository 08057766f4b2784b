//! `/metrics` of the programs of the central side: on this machine alone, for a Prometheus here, or behind the proxy with
//! whose sign-in operators reach everything else.

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use kakou_gateway::metrics::{CONTENT_TYPE, Figures, Metrics, figures};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Where a program of the central side shows its figures.
#[derive(clap::Args, Debug, Clone, Copy, Default)]
pub struct At {
    /// Gives figures as OpenMetrics at http://ADDRESS/metrics: an address of this machine alone.
    #[arg(long = "metrics", value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
}

impl At {
    /// Serves until cancelled, if it is asked for; an error is one of the address.
    pub async fn serve(
        self,
        read: impl Fn(&mut Figures) + Clone + Send + Sync + 'static,
        cancel: CancellationToken,
    ) -> Result<(), String> {
        let Some(address) = self.metrics else { return Ok(()) };
        if !address.ip().is_loopback() {
            return Err(format!(
                "--metrics {address}: figures are served on this machine alone; give 127.0.0.1:PORT, and let a proxy with \
                 your sign-in serve them further"
            ));
        }
        let listener = TcpListener::bind(address).await.map_err(|e| format!("--metrics {address}: {e}"))?;
        let show = move || async move {
            let text = tokio::task::spawn_blocking(move || figures(|f| read(f))).await.unwrap_or_default();
            ([(header::CONTENT_TYPE, CONTENT_TYPE)], text)
        };
        let router = Router::new().route("/metrics", get(show));
        tokio::spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(cancel.cancelled_owned());
            if let Err(e) = served.await {
                log::error!("figures cannot be served: {e}");
            }
        });
        Ok(())
    }
}

impl At {
    /// The same of a program that serves routes: what they answer is counted, and what connections came to, which is
    /// given back to be counted.
    pub async fn around(
        self,
        routes: Router,
        read: impl Fn(&mut Figures) + Clone + Send + Sync + 'static,
        cancel: CancellationToken,
    ) -> Result<(Router, Arc<Metrics>), String> {
        let (requests, happened) = (Requests::default(), Arc::new(Metrics::default()));
        let (counted, crowd) = (requests.clone(), happened.clone());
        let all = move |f: &mut Figures| {
            read(f);
            counted.show(f);
            happenings(&crowd, f);
        };
        self.serve(all, cancel).await?;
        Ok((requests.counted(routes), happened))
    }
}

/// Requests by route and status.
#[derive(Clone, Default)]
struct Requests(Arc<Mutex<BTreeMap<(String, u16), u64>>>);

impl Requests {
    /// Counts what the routes answer.
    fn counted(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), count))
    }

    /// Shows them.
    fn show(&self, f: &mut Figures) {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((route, status), times) in &*counted {
            let labels = [("route", route.as_str()), ("status", &status.to_string())];
            f.counter(("requests", "Requests, by route and status"), &labels, *times);
        }
    }
}

async fn count(State(requests): State<Requests>, request: Request, next: Next) -> Response {
    // Not the path: whoever asks for nonsense must not make figures.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let mut counted = requests.0.lock().unwrap_or_else(PoisonError::into_inner);
    *counted.entry((route, response.status().as_u16())).or_default() += 1;
    drop(counted);
    response
}

/// What connections came to: refusals and drops.
fn happenings(metrics: &Metrics, f: &mut Figures) {
    for (name, times) in metrics.plain() {
        let kind = name.strip_suffix("_total").unwrap_or(&name).to_owned();
        f.counter(("happenings", "Refusals, drops and faults, by kind"), &[("kind", &kind)], times);
    }
}
