#include "apam/exchange/mpi/launch.h"

#include <gtest/gtest.h>

#include <map>
#include <utility>

namespace apam::exchange::mpi {
namespace {

using Variables = std::map<std::string, std::string, std::less<>>;

Lookup lookup_in(Variables variables) {
  return [variables = std::move(variables)](std::string_view name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

std::optional<LaunchFault> fault(const Variables& variables, int world_size) {
  const std::vector<std::string> command{"build/apam", "train", "--net", "allcnn", "--out", "my run"};
  return launch_fault(lookup_in(variables), world_size, "mpiexec.mpich", command);
}

TEST(Launch, OpenMpiStartsWorldsOfOne) {
  const auto found = fault({{"OMPI_COMM_WORLD_SIZE", "3"}, {"OMPI_COMM_WORLD_RANK", "0"}, {"PMIX_RANK", "0"}}, 1);
  ASSERT_TRUE(found);
  EXPECT_NE(found->message.find("Open MPI started 3 processes"), std::string::npos) << found->message;
  EXPECT_TRUE(found->message.ends_with("mpiexec.mpich -n 3 build/apam train --net allcnn --out 'my run'")) << found->message;
  EXPECT_TRUE(found->reports);
}

TEST(Launch, OneProcessOfALaunchReports) {
  const auto second = fault({{"OMPI_COMM_WORLD_SIZE", "3"}, {"OMPI_COMM_WORLD_RANK", "1"}}, 1);
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->reports);
}

TEST(Launch, ReadsTheRankWithoutMpi) {
  EXPECT_EQ(launch_rank(lookup_in({})), 0);
  EXPECT_EQ(launch_rank(lookup_in({{"PMI_SIZE", "3"}, {"PMI_RANK", "2"}, {"SLURM_PROCID", "1"}})), 2);
  EXPECT_EQ(launch_rank(lookup_in({{"OMPI_COMM_WORLD_SIZE", "3"}, {"OMPI_COMM_WORLD_RANK", "1"}, {"PMIX_RANK", "1"}})), 1);
  EXPECT_EQ(launch_rank(lookup_in({{"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_PROCID", "3"}})), 3);
  EXPECT_EQ(launch_rank(lookup_in({{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}})), 0);  // a batch script
  EXPECT_EQ(launch_rank(lookup_in({{"PMIX_RANK", "2"}})), 2);
}

std::string several(const Variables& variables) {
  const auto found = several_processes(lookup_in(variables));
  if (!found) return "no";
  return found->processes + (found->by_pmi ? ", pmi" : "") + (found->first_to_know ? ", first" : "");
}

TEST(Launch, CountsProcessesWithoutMpi) {
  EXPECT_EQ(several({}), "no");
  EXPECT_EQ(several({{"PMI_SIZE", "1"}, {"PMI_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "4"}}), "no");
  EXPECT_EQ(several({{"PMI_SIZE", "3"}, {"PMI_RANK", "0"}}), "3, pmi, first");
  EXPECT_EQ(several({{"OMPI_COMM_WORLD_SIZE", "3"}, {"OMPI_COMM_WORLD_RANK", "0"}, {"PMIX_RANK", "0"}}), "3, first");
  EXPECT_EQ(several({{"OMPI_COMM_WORLD_SIZE", "3"}, {"OMPI_COMM_WORLD_RANK", "1"}}), "3");
  EXPECT_EQ(several({{"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_PROCID", "3"}}), "4");
  EXPECT_EQ(several({{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}}), "no") << "a batch script";
  EXPECT_EQ(several({{"PMIX_RANK", "0"}}), "no") << "may be the only rank";
  EXPECT_EQ(several({{"PMIX_RANK", "1"}}), "several, first");
  EXPECT_EQ(several({{"PMIX_RANK", "2"}}), "several");
}

TEST(Launch, SlurmWithoutItsPmi) {
  const auto found = fault({{"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}}, 1);
  ASSERT_TRUE(found);
  EXPECT_NE(found->message.find("srun of Slurm started 4 processes"), std::string::npos) << found->message;
}

TEST(Launch, PmixSetsOnlyTheRank) {
  EXPECT_FALSE(fault({{"PMIX_RANK", "0"}}, 1)) << "may be the only rank";
  const auto found = fault({{"PMIX_RANK", "1"}}, 1);
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->reports);
  EXPECT_NE(found->message.find("several processes"), std::string::npos) << found->message;
  EXPECT_FALSE(fault({{"PMIX_RANK", "2"}}, 1)->reports);
  EXPECT_FALSE(fault({{"PMIX_RANK", "2"}}, 3));
}

TEST(Launch, PmiThatSeesAnotherWorld) {
  const auto found = fault({{"PMI_SIZE", "4"}, {"PMI_RANK", "0"}}, 2);
  ASSERT_TRUE(found);
  EXPECT_NE(found->message.find("MPI sees a world of 2"), std::string::npos) << found->message;
}

TEST(Launch, CorrectLaunchesHaveNoFault) {
  EXPECT_FALSE(fault({}, 1)) << "no launcher";
  EXPECT_FALSE(fault({{"PMI_SIZE", "3"}, {"PMI_RANK", "2"}}, 3)) << "MPICH's own";
  EXPECT_FALSE(fault({{"OMPI_COMM_WORLD_SIZE", "1"}, {"OMPI_COMM_WORLD_RANK", "0"}}, 1)) << "one process was requested";
  EXPECT_FALSE(fault({{"SLURM_NTASKS", "8"}, {"SLURM_JOB_ID", "7"}}, 1)) << "a batch script is one process";
}

TEST(Launch, IgnoresVariablesOfAnOuterJob) {
  EXPECT_FALSE(fault({{"PMI_SIZE", "2"}, {"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_PROCID", "0"}}, 2)) << "hydra inside Slurm";
  EXPECT_FALSE(fault({{"PMI_SIZE", "2"}, {"OMPI_COMM_WORLD_SIZE", "1"}}, 2)) << "hydra inside Open MPI";
}

TEST(Launch, IgnoresInvalidValues) {
  EXPECT_FALSE(fault({{"OMPI_COMM_WORLD_SIZE", ""}}, 1));
  EXPECT_FALSE(fault({{"OMPI_COMM_WORLD_SIZE", "three"}}, 1));
  EXPECT_FALSE(fault({{"PMI_SIZE", "-2"}}, 1));
}

}  // namespace
}  // namespace apam::exchange::mpi
