// Loading a library at run time, with the mathematics library of the system.
#include "kernels/runtime/loaded_library.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"
#include "tests/support/throws.h"

namespace apam {
namespace {

constexpr const char* kVariable = "APAM_TEST_LIBRARY";

struct Functions {
  double (*cosine)(double);
  std::string version, path;
};
Functions functions_of(const OpenLibrary& library) {
  Functions functions{nullptr, "7", library.path()};
  library.find(functions.cosine, "cos");
  return functions;
}

TEST(LoadedLibrary, IsLookedForWhereTheVariableSaysAndNowhereElse) {
  unsetenv(kVariable);
  EXPECT_EQ(library_places(kVariable, "libm.so.6", "/built"), (std::vector<std::string>{"libm.so.6", "/built"}));
  setenv(kVariable, "/some/file", 1);
  EXPECT_EQ(library_places(kVariable, "libm.so.6", "/built"), std::vector<std::string>{"/some/file"});
  const support::TemporaryFolder folder;
  setenv(kVariable, folder.path().c_str(), 1);
  EXPECT_EQ(library_places(kVariable, "libm.so.6", "/built"), std::vector<std::string>{folder.path() / "libm.so.6"});
  unsetenv(kVariable);
}

TEST(LoadedLibrary, IsTheFirstThatIsThereAndHasTheFunctions) {
  const auto loaded = load_library<Functions>({"/no/such/library", "libm.so.6"}, functions_of);
  ASSERT_TRUE(loaded.functions);
  EXPECT_EQ(loaded.get("test").cosine(0), 1.0);
  EXPECT_EQ(loaded.absence, "");
  EXPECT_EQ(loaded.status(), "7, libm.so.6");
}

TEST(LoadedLibrary, NamesEachReasonOfItsAbsence) {
  const auto loaded = load_library<Functions>({"/no/such/library", "libm.so.6"}, [](const OpenLibrary& library) {
    Functions functions{};
    library.find(functions.cosine, "no_such_function");
    return functions;
  });
  EXPECT_FALSE(loaded.functions);
  EXPECT_EQ(loaded.status(), loaded.absence);
  EXPECT_TRUE(support::throws<DeviceError>({"test: not found"}, [&] { loaded.get("test"); }));
  EXPECT_TRUE(
      support::has_words(loaded.absence, {"not found", "/no/such/library", "libm.so.6 has no function no_such_function"}));
}

}  // namespace
}  // namespace apam
