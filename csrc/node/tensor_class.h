#pragma once
#include "bind.h"

namespace longspan::node {

void defineTensorClass(Exports& exports);

}  // namespace longspan::node
