// The kernel tables of this build and the choice among them (filled by cpu/backends.cc).
#pragma once
#include <string>
#include <vector>

#include "backend.h"

namespace longspan {

// every table in this build, the best first; isSupported() says whether this processor can run it
const std::vector<const Backend*>& cpuBackends();

// The best table this processor runs, or the one named (LONGSPAN_ISA; empty: no wish). A name that is unknown, or that
// the processor lacks, throws Error{Device}.
const Backend& pickBackend(const std::string& wish);

}  // namespace longspan
