// The pick list: one row per ISA of the build, best first.
#include "../core/backends.h"

#include "../core/error.h"

namespace longspan {

#if defined(__x86_64__)
extern const Backend avx512bf16Backend, avx512Backend, avx2Backend, baselineBackend;
#elif defined(__aarch64__)
extern const Backend neonBackend;
#endif

const std::vector<const Backend*>& cpuBackends() {
  static const std::vector<const Backend*> all = {
#if defined(__x86_64__)
    &avx512bf16Backend,
    &avx512Backend,
    &avx2Backend,
    &baselineBackend,
#elif defined(__aarch64__)
    &neonBackend,
#endif
  };
  return all;
}

const Backend& pickBackend(const std::string& wish) {
  std::string supported, reason = "this build of longspan has no kernels named so";
  for (const Backend* backend : cpuBackends()) {
    const bool runs = backend->isSupported();
    if (runs && (wish.empty() || wish == backend->name)) return *backend;
    if (wish == backend->name) reason = "this processor lacks its instructions";
    if (runs) supported += (supported.empty() ? "" : ", ") + std::string(backend->name);
  }
  throw Error(Code::Device, concat("LONGSPAN_ISA = \"", wish, "\": ", reason, "; supported here: ", supported))
      .with("device", "cpu")
      .with("reason", reason)
      .with("supported", supported);
}

}  // namespace longspan
